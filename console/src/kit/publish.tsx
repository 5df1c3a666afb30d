// Publication of a change of the configuration: what changes, who was faster, what is wrong with it.
//
// An edit is a function of the document, so that it can be applied again to a newer version after 412.

import { useEffect, useState } from "preact/hooks";

import { ApiError, call, get, withQuery, type Problem } from "../data/client";
import type { Change, Document, Version } from "../data/document";
import { forget, reload } from "../data/resource";
import { t } from "../lang";
import { Button, TextField } from "./controls";
import { Dialog, toast } from "./dialog";
import { ErrorNotice, Notice, errorText } from "./layout";
import { moment } from "./format";

export type Edit = (document: Document) => Document;

type Changes = Change["changes"];

function text(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 1);
}

export function ChangeList({ changes }: { changes: Changes }) {
  if (changes.length === 0) return <p class="muted">{t("publish.no_change")}</p>;
  return (
    <ul class="changes">
      {changes.map((change) => (
        <li key={change.path}>
          <span class="path">{change.path}</span>
          {change.before !== undefined && <span class="value was"><span class="hidden">{t("publish.before")} </span>− {text(change.before)}</span>}
          {change.after !== undefined && <span class="value now"><span class="hidden">{t("publish.after")} </span>+ {text(change.after)}</span>}
        </li>
      ))}
    </ul>
  );
}

export function ProblemList({ problems }: { problems: Problem[] }) {
  return (
    <ul class="changes">
      {problems.map((problem, index) => (
        <li key={index}>
          <span class="path">{problem.path}</span>
          <span>{t("publish.problem", { found: problem.found, expected: problem.expected })}</span>
        </li>
      ))}
    </ul>
  );
}

/** Document in force with its ETag. */
export async function readDocument(): Promise<{ document: Document; etag: string }> {
  const { data, etag } = await call<Document>("GET", "config");
  return { document: data, etag: etag ?? "*" };
}

/** Screens that follow from the configuration. */
function refresh(): void {
  for (const prefix of ["config", "targets", "health", "limits", "consumers", "match", "secrets", "vault"]) {
    reload(prefix);
  }
  forget("match");
}

interface Draft {
  etag: string;
  document: Document;
  change: Change;
}

interface PublishProps {
  title: string;
  edit: Edit;
  /** Version that the form was opened with; another one in force means that somebody was faster. */
  basis?: string | null;
  note?: string;
  onClose: () => void;
  onDone?: (version: Version) => void;
  /** Receives the problems of a refused document, so that a form can show them at its fields. */
  onProblems?: (problems: Problem[]) => void;
}

/** Dialog that shows the effect of an edit, asks for a note, and publishes it. */
export function Publish({ title, edit, basis, note: firstNote = "", onClose, onDone, onProblems }: PublishProps) {
  const [draft, setDraft] = useState<Draft | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [others, setOthers] = useState<{ version: Version; changes: Changes } | null>(null);
  const [note, setNote] = useState(firstNote);
  const [busy, setBusy] = useState(false);

  async function prepare(before: Draft | null): Promise<void> {
    setError(null);
    try {
      const { document, etag } = await readDocument();
      const after = edit(document);
      const { data: change } = await call<Change>("PUT", "config?dry_run=true", { body: after, headers: { "if-match": etag } });
      const isOvertaken = (before !== null && before.etag !== etag) || (before === null && basis !== undefined && basis !== null && basis !== etag);
      if (isOvertaken) {
        const version = (await get<{ data: Version[] }>("config/versions?limit=1")).data[0];
        const difference = version && version.version > 0 ? await get<{ changes: Changes }>(`config/versions/${version.version - 1}/diff/${version.version}`).catch(() => null) : null;
        if (version) setOthers({ version, changes: difference?.changes ?? [] });
      }
      setDraft({ etag, document: after, change });
    } catch (failure) {
      const known = ApiError.of(failure);
      setError(known);
      if (known.problems.length > 0) onProblems?.(known.problems);
    }
  }

  useEffect(() => void prepare(null), []);

  async function publish(): Promise<void> {
    if (draft === null) return;
    setBusy(true);
    setError(null);
    try {
      const { data: version } = await call<Change>("PUT", withQuery("config", { note }), { body: draft.document, headers: { "if-match": draft.etag } });
      refresh();
      toast(t("publish.done", { version: version.version }));
      onDone?.(version);
      onClose();
    } catch (failure) {
      if (failure instanceof ApiError && failure.status === 412) await prepare(draft);
      else setError(failure instanceof ApiError ? failure : new ApiError(errorText(failure), 0, ""));
    }
    setBusy(false);
  }

  const hasChanges = draft !== null && draft.change.changes.length > 0;
  return (
    <Dialog
      title={title}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t("action.back")}</Button>
          <Button kind="primary" need="owner" busy={busy} disabled={!hasChanges} reason={t("publish.nothing")} onClick={() => void publish()}>
            {others ? t("publish.on_top") : t("publish.publish")}
          </Button>
        </>
      }
    >
      {others && (
        <Notice kind="warn">
          <strong>{t("publish.overtaken", { by: others.version.created_by ?? "?", version: others.version.version, at: moment(others.version.created_at) })}</strong>
          {others.changes.length > 0 && <><span>{t("publish.theirs")}</span><ChangeList changes={others.changes} /></>}
          <span>{t("publish.reapplied")}</span>
        </Notice>
      )}
      {error && error.problems.length === 0 && <ErrorNotice error={error} onRetry={() => void prepare(draft)} />}
      {error && error.problems.length > 0 && <><Notice kind="bad">{t("publish.invalid", { n: error.problems.length })}</Notice><ProblemList problems={error.problems} /></>}
      {draft === null && error === null && <div class="skeleton-block" aria-busy="true" />}
      {draft !== null && error === null && (
        <>
          <h3>{others ? t("publish.yours") : t("publish.changes", { n: draft.change.changes.length })}</h3>
          <ChangeList changes={draft.change.changes} />
          {(draft.change.warnings ?? []).map((warning) => <Notice key={warning} kind="warn">{warning}</Notice>)}
          <TextField label={t("publish.note")} hint={t("publish.note_hint")} value={note} onInput={setNote} />
          <p class="hint">{t("publish.spread")}</p>
        </>
      )}
    </Dialog>
  );
}
