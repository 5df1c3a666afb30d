// Form of one part of the configuration: its fields, problems beside them, and publication.

import { useState } from "preact/hooks";
import type { ComponentChildren } from "preact";

import { go } from "../app/router";
import type { Problem } from "../data/client";
import { t } from "../lang";
import { Button } from "./controls";
import { Dialog } from "./dialog";
import { Notice } from "./layout";
import { Publish, type Edit } from "./publish";

/** Finds the text that stands beside a field: the form's own rule first, then the gateway's. */
export type ErrorOf = (field: string) => string | undefined;

interface Props {
  title: string;
  /** Note of the new version. */
  note: string;
  etag: string | null;
  edit: Edit;
  /** Rules that the input breaks, by field. */
  missing: Record<string, string | undefined>;
  /** Takes the part out of the document, and leaves its screen for another one. */
  removal?: { label: string; edit: Edit; to?: string };
  onClose: () => void;
  children: (errorOf: ErrorOf) => ComponentChildren;
}

const within = (path: string, field: string): boolean => new RegExp(`[.\\]]${field}(\\b|$)`).test(path);

export function DocumentForm({ title, note, etag, edit, missing, removal, onClose, children }: Props) {
  const [publishing, setPublishing] = useState<{ edit: Edit; to?: string } | null>(null);
  const [problems, setProblems] = useState<Problem[]>([]);
  const [isTried, setTried] = useState(false);
  const shown = new Set<string>();
  const errorOf: ErrorOf = (field) => {
    shown.add(field);
    const found = problems.find((problem) => within(problem.path, field));
    return (isTried ? missing[field] : undefined) ?? (found && t("publish.problem", { found: found.found, expected: found.expected }));
  };
  const fields = children(errorOf);
  const others = problems.filter((problem) => ![...shown].some((field) => within(problem.path, field)));
  function next(): void {
    setTried(true);
    setProblems([]);
    if (Object.values(missing).every((one) => one === undefined)) setPublishing({ edit });
  }
  return (
    <>
      <Dialog
        kind="wide"
        title={title}
        onClose={onClose}
        footer={
          <>
            {removal && <Button kind="danger" icon="trash" need="owner" onClick={() => setPublishing(removal)}>{removal.label}</Button>}
            <Button onClick={onClose}>{t("action.cancel")}</Button>
            <Button kind="primary" need="owner" onClick={next}>{t("action.review")}</Button>
          </>
        }
      >
        {others.length > 0 && <Notice kind="bad">{others.map((problem) => <span key={problem.path}><code>{problem.path}</code>: {t("publish.problem", { found: problem.found, expected: problem.expected })}</span>)}</Notice>}
        <div class="form">{fields}</div>
      </Dialog>
      {publishing && (
        <Publish
          title={title}
          basis={etag}
          note={note}
          edit={publishing.edit}
          onClose={() => setPublishing(null)}
          onProblems={setProblems}
          onDone={() => {
            onClose();
            if (publishing.to !== undefined) go(publishing.to);
          }}
        />
      )}
    </>
  );
}

/** The list with a named item replaced, added, or without one removed. */
export function withItem<T extends { id: string }>(list: T[] | undefined, id: string | undefined, item: ((before: T | undefined) => T) | null): T[] {
  const items = list ?? [];
  if (id === undefined) return item ? [...items, item(undefined)] : items;
  return items.flatMap((one) => (one.id !== id ? [one] : item ? [item(one)] : []));
}
