// Configuration: edit, check, publish; versions, comparison, restore.

import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import "./configuration/configuration.css";

import { param, setQuery } from "../app/router";
import { may } from "../app/session";
import { ApiError, call } from "../data/client";
import type { Change, Document } from "../data/document";
import { isEqual, merge } from "../data/merge";
import { useResource } from "../data/resource";
import { Editor, type EditorHandle } from "../editor/editor";
import type { Schema } from "../editor/schema";
import { Button, Copy, TextField } from "../kit/controls";
import { Dialog } from "../kit/dialog";
import { Badge, ErrorNotice, Head, Load, Notice, Panel, Tabs } from "../kit/layout";
import { ChangeList, ProblemList, Publish } from "../kit/publish";
import { t } from "../lang";
import { Versions } from "./configuration/versions";

/** Draft of the editor. It outlives the screen, so that a look elsewhere loses nothing. */
const draft = signal<{ base: Document; etag: string | null; text: string } | null>(null);

const pretty = (document: unknown): string => JSON.stringify(document, null, 2);

function parse(text: string): Document | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Document) : null;
  } catch {
    return null;
  }
}

interface Checked {
  text: string;
  change: Change | null;
  error: ApiError | null;
}

/** Dry run of the draft, a moment after the last key. */
function useCheck(text: string, isChanged: boolean): Checked | null {
  const [checked, setChecked] = useState<Checked | null>(null);
  useEffect(() => {
    const document = isChanged && may("owner") ? parse(text) : null;
    if (document === null) {
      setChecked(null);
      return undefined;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => {
      call<Change>("PUT", "config?dry_run=true", { body: document, signal: stop.signal, poll: true }).then(
        ({ data }) => setChecked({ text, change: data, error: null }),
        (error: unknown) => {
          if (!stop.signal.aborted) setChecked({ text, change: null, error: error instanceof ApiError ? error : new ApiError(String(error), 0, "") });
        },
      );
    }, 700);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text, isChanged]);
  return checked;
}

function PasteToml({ onClose, onText }: { onClose: () => void; onText: (text: string) => void }) {
  const [toml, setToml] = useState("");
  const [problem, setProblem] = useState("");
  async function convert(): Promise<void> {
    const { parse: parseToml } = await import("smol-toml");
    try {
      onText(pretty(parseToml(toml)));
      onClose();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  }
  return (
    <Dialog kind="wide" title={t("config.toml")} onClose={onClose} footer={<><Button onClick={onClose}>{t("action.cancel")}</Button><Button kind="primary" onClick={() => void convert()}>{t("config.toml_use")}</Button></>}>
      <p class="hint">{t("config.toml_about")}</p>
      <TextField label="gateway.toml" rows={16} mono value={toml} error={problem} onInput={setToml} focus />
    </Dialog>
  );
}

function Outline({ document, onShow }: { document: Document | null; onShow: (path: string) => void }) {
  if (document === null) return null;
  return (
    <nav class="outline" aria-label={t("config.outline")}>
      {Object.entries(document).map(([section, value]) => (
        <div key={section}>
          <button type="button" class="link" onClick={() => onShow(section)}>{section}{Array.isArray(value) && <span class="muted"> {value.length}</span>}</button>
          {Array.isArray(value) && value.length <= 40 && (
            <ul>
              {value.map((item: Record<string, unknown>, index) => {
                const name = String(item?.id ?? item?.name ?? item?.model ?? index);
                return <li key={index}><button type="button" class="link small" onClick={() => onShow(`${section}[${index}]`)}>{name}</button></li>;
              })}
            </ul>
          )}
        </div>
      ))}
    </nav>
  );
}

function Edit({ document, etag }: { document: Document; etag: string | null }) {
  const schema = useResource<Schema>("config/schema");
  const [isPublishing, setPublishing] = useState(false);
  const [isPasting, setPasting] = useState(false);
  const editor = useRef<EditorHandle | null>(null);
  const stored = useMemo(() => pretty(document), [document]);
  const own = draft.value;
  const text = own?.text ?? stored;
  const parsed = useMemo(() => parse(text), [text]);
  const isChanged = own !== null && (parsed === null || !isEqual(parsed, own.base));
  const checked = useCheck(text, isChanged);
  const isCurrent = checked !== null && checked.text === text;
  const problems = checked?.error?.problems ?? [];
  const marks = useMemo(() => (isCurrent ? problems.map((problem) => ({ path: problem.path, message: t("publish.problem", { found: problem.found, expected: problem.expected }) })) : []), [checked, isCurrent]);
  const isStale = own !== null && own.etag !== etag;
  const change = (next: string): void => {
    draft.value = next === stored && !isStale ? null : { base: own?.base ?? document, etag: own?.etag ?? etag, text: next };
  };
  useEffect(() => {
    const warn = (event: BeforeUnloadEvent): void => {
      if (draft.peek() !== null) event.preventDefault();
    };
    window.addEventListener("beforeunload", warn);
    return () => window.removeEventListener("beforeunload", warn);
  }, []);

  const status = parsed === null ? <Badge kind="bad" icon="warn">{t("config.not_json")}</Badge>
    : !isChanged ? <Badge>{t("config.unchanged")}</Badge>
    : !isCurrent ? <Badge>{t("config.checking")}</Badge>
    : problems.length > 0 ? <Badge kind="bad" icon="warn">{t("config.problems", { n: problems.length })}</Badge>
    : checked.change ? <Badge kind="good" icon="check">{t("config.valid", { n: checked.change.changes.length })}</Badge> : null;
  const canPublish = isChanged && parsed !== null && isCurrent && checked.error === null;
  return (
    <>
      {isStale && <Notice kind="warn">{t("config.stale")}</Notice>}
      <div class="config">
        <Panel title={<span class="row">{t("config.document")}<span aria-live="polite">{status}</span></span>} flush actions={
          <>
            <Copy text={text} />
            <Button small onClick={() => setPasting(true)}>{t("config.toml")}</Button>
            <Button small disabled={own === null} reason={t("canary.unchanged")} onClick={() => (draft.value = null)}>{t("config.discard")}</Button>
            <Button small kind="primary" need="owner" disabled={!canPublish} reason={t("config.cannot")} onClick={() => setPublishing(true)}>{t("action.review")}</Button>
          </>
        }>
          <Editor text={text} onChange={change} problems={marks} schema={schema.data} label={t("config.document")} handle={editor} />
        </Panel>
        <div class="stack aside">
          {isCurrent && problems.length > 0 && <Panel title={t("config.problems", { n: problems.length })}><ProblemList problems={problems} /></Panel>}
          {isCurrent && checked.error && problems.length === 0 && <ErrorNotice error={checked.error} />}
          {isCurrent && checked.change && checked.change.changes.length > 0 && <Panel title={t("publish.changes", { n: checked.change.changes.length })}><ChangeList changes={checked.change.changes} /></Panel>}
          {(checked?.change?.warnings ?? []).map((warning) => <Notice key={warning} kind="warn">{warning}</Notice>)}
          <Panel title={t("config.outline")}><Outline document={parsed} onShow={(path) => editor.current?.show(path)} /></Panel>
        </div>
      </div>
      {isPasting && <PasteToml onClose={() => setPasting(false)} onText={change} />}
      {isPublishing && parsed !== null && (
        <Publish
          title={t("config.publish")}
          basis={own?.etag}
          edit={(theirs) => merge(own?.base ?? theirs, parsed, theirs) as Document}
          onClose={() => setPublishing(false)}
          onDone={() => (draft.value = null)}
        />
      )}
    </>
  );
}

export function View() {
  const config = useResource<Document>("config", { every: 30_000 });
  const tab = param("tab", "edit");
  return (
    <>
      <Head title={t("nav.config")} about={t("config.about")}>
        {draft.value !== null && tab !== "edit" && <Button onClick={() => setQuery({ tab: null })}>{t("config.has_draft")}</Button>}
      </Head>
      <Tabs tabs={[{ id: "edit", label: t("config.edit") }, { id: "versions", label: t("config.versions") }]} />
      {tab === "versions" ? <Versions etag={config.etag} /> : <Load of={config}>{(document) => <Edit document={document} etag={config.etag} />}</Load>}
    </>
  );
}
