// Editor as a component: loads the engine, and works as a plain text field until it is there.

import { useEffect, useRef, useState } from "preact/hooks";

import { isDark } from "../app/preferences";
import { Notice } from "../kit/layout";
import { t } from "../lang";
import type { Editor as Engine, Marked } from "./engine";
import type { Schema } from "./schema";

export interface EditorHandle {
  show: (path: string) => void;
}

export function Editor({ text, onChange, problems, schema, label, isReadOnly = false, handle }: { text: string; onChange: (text: string) => void; problems: Marked[]; schema?: Schema; label: string; isReadOnly?: boolean; handle?: { current: EditorHandle | null } }) {
  const host = useRef<HTMLDivElement>(null);
  const engine = useRef<Engine | null>(null);
  const latest = useRef({ onChange, text });
  latest.current = { onChange, text };
  const [state, setState] = useState<"loading" | "ready" | "missing">("loading");

  useEffect(() => {
    const element = host.current;
    if (!element) return undefined;
    let isOver = false;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    import("./engine").then(
      ({ createEditor }) => {
        if (isOver) return;
        engine.current = createEditor(root, { text: latest.current.text, isDark: isDark.peek(), isReadOnly, label }, (next) => latest.current.onChange(next));
        if (handle) handle.current = { show: (path) => engine.current?.show(path) };
        setState("ready");
      },
      () => setState("missing"),
    );
    return () => {
      isOver = true;
      engine.current?.destroy();
      engine.current = null;
      if (handle) handle.current = null;
    };
  }, []);
  useEffect(() => engine.current?.setText(text), [text]);
  useEffect(() => engine.current?.setProblems(problems), [problems, text, state]);
  useEffect(() => engine.current?.setDark(isDark.value), [isDark.value, state]);
  useEffect(() => {
    if (schema) engine.current?.setSchema(schema);
  }, [schema, state]);

  return (
    <>
      {state === "missing" && <Notice kind="warn">{t("editor.plain")}</Notice>}
      <div ref={host} class="editor" hidden={state !== "ready"} />
      {state !== "ready" && <textarea class="mono editor" aria-label={label} readOnly={isReadOnly} spellcheck={false} value={text} onInput={(event) => onChange(event.currentTarget.value)} />}
    </>
  );
}
