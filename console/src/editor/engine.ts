// JSON editor: a chunk of its own. It lives in a shadow root, because its styles are constructed sheets
// there; in the document they would be inline styles, which the content security policy refuses.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import { HighlightStyle, bracketMatching, foldGutter, foldKeymap, indentOnInput, syntaxHighlighting, syntaxTree } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

import { describe, locate, pathAt, type Schema } from "./schema";

export interface Marked {
  path: string;
  message: string;
}

export interface Editor {
  setText: (text: string) => void;
  setProblems: (problems: Marked[]) => void;
  setDark: (isDark: boolean) => void;
  setSchema: (schema: Schema) => void;
  show: (path: string) => void;
  destroy: () => void;
}

function look(isDark: boolean) {
  const color = (light: string, dark: string): string => (isDark ? dark : light);
  return [
    EditorView.theme(
      {
        "&": { color: color("#1b1f24", "#e6e9ee"), backgroundColor: color("#ffffff", "#0e1218"), fontSize: "12.5px", height: "100%" },
        ".cm-scroller": { fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace', lineHeight: "1.6" },
        ".cm-content": { caretColor: color("#1b1f24", "#e6e9ee") },
        ".cm-cursor": { borderLeftColor: color("#1b1f24", "#e6e9ee") },
        "&.cm-focused": { outline: `2px solid ${color("#0b5cad", "#7cb3ff")}`, outlineOffset: "-2px" },
        ".cm-gutters": { backgroundColor: color("#fafbfc", "#12161d"), color: color("#57606a", "#9aa4b2"), borderRight: `1px solid ${color("#e1e5ea", "#262d38")}` },
        ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: color("#0b5cad0f", "#7cb3ff12") },
        ".cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground": { backgroundColor: color("#cfe3fa", "#23436b") },
        ".cm-tooltip, .cm-panels": { backgroundColor: color("#ffffff", "#191e27"), color: color("#1b1f24", "#e6e9ee"), border: `1px solid ${color("#c9d0d8", "#3a4350")}` },
        ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: color("#0b5cad", "#2f6fc4"), color: "#ffffff" },
        ".cm-completionDetail": { color: "inherit", opacity: "0.8" },
        ".cm-foldPlaceholder": { backgroundColor: color("#eef1f5", "#222935"), border: "none", color: "inherit", padding: "0 6px" },
        ".cm-panel input, .cm-panel button": { font: "inherit", color: "inherit" },
      },
      { dark: isDark },
    ),
    syntaxHighlighting(
      HighlightStyle.define([
        { tag: tags.propertyName, color: color("#0b5cad", "#7cb3ff") },
        { tag: tags.string, color: color("#176c37", "#7ed59d") },
        { tag: tags.number, color: color("#9a3d00", "#f5a35c") },
        { tag: [tags.bool, tags.null], color: color("#7e22ce", "#c792ea") },
        { tag: tags.invalid, color: color("#b3261e", "#ff8f85") },
      ]),
    ),
  ];
}

/** Names of fields and values of enumerations, from the schema at the cursor. */
function complete(schema: () => Schema | null) {
  return (context: CompletionContext): CompletionResult | null => {
    const root = schema();
    if (root === null) return null;
    const place = pathAt(syntaxTree(context.state), context.state.doc.toString(), context.pos);
    if (place === null) return null;
    const found = describe(root, place.path);
    const options = place.isKey
      ? Object.entries(found.properties).map(([name, about]) => ({ label: name, type: "property", detail: about.type, info: about.description, apply: place.isQuoted ? name : `"${name}": ` }))
      : found.values.map((value) => ({ label: String(value), type: "enum", apply: place.isQuoted && typeof value === "string" ? value : JSON.stringify(value) }));
    return options.length > 0 ? { from: place.from, to: place.to, options, validFor: /^[\w.-]*$/ } : null;
  };
}

export function createEditor(parent: ShadowRoot, initial: { text: string; isDark: boolean; isReadOnly: boolean; label: string }, onChange: (text: string) => void): Editor {
  const theme = new Compartment();
  let schema: Schema | null = null;
  let isSetting = false;
  const view = new EditorView({
    parent,
    root: parent,
    state: EditorState.create({
      doc: initial.text,
      extensions: [
        lineNumbers(), foldGutter(), history(), drawSelection(), indentOnInput(), bracketMatching(), closeBrackets(), highlightActiveLine(), highlightSelectionMatches(),
        json(), lintGutter(), autocompletion({ override: [complete(() => schema)] }),
        keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap, ...(initial.isReadOnly ? [] : [indentWithTab])]),
        theme.of(look(initial.isDark)),
        EditorState.readOnly.of(initial.isReadOnly),
        EditorView.contentAttributes.of({ "aria-label": initial.label, tabindex: "0" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged && !isSetting) onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  const parseProblems = jsonParseLinter();
  let marked: Marked[] = [];

  function mark(): void {
    const syntax = view.state.doc.length > 0 ? parseProblems(view) : [];
    const text = view.state.doc.toString();
    const own = syntax.length > 0 ? [] : marked.map((problem): Diagnostic => ({ ...locate(syntaxTree(view.state), text, problem.path), severity: "error", message: problem.message, source: problem.path }));
    view.dispatch(setDiagnostics(view.state, [...syntax, ...own]));
  }

  return {
    setText(text) {
      if (text === view.state.doc.toString()) return;
      isSetting = true;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
      isSetting = false;
    },
    setProblems(problems) {
      marked = problems;
      mark();
    },
    setDark: (isDark) => view.dispatch({ effects: theme.reconfigure(look(isDark)) }),
    setSchema(next) {
      schema = next;
    },
    show(path) {
      const { from } = locate(syntaxTree(view.state), view.state.doc.toString(), path);
      view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "start", yMargin: 40 }) });
      view.focus();
    },
    destroy: () => view.destroy(),
  };
}
