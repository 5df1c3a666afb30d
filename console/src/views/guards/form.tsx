// Form of a guard. Fields that it does not show, such as those of services, stay as they are.

import { useState } from "preact/hooks";

import { withField, type Document, type Guard } from "../../data/document";
import { CheckList, SelectField, TextField } from "../../kit/controls";
import { DocumentForm, withItem } from "../../kit/document-form";
import { t } from "../../lang";

/** Kinds that need no service. Others are made in the editor, and can be changed here. */
const OWN_KINDS = ["pii", "words"];
const PII = ["email", "phone", "cn_id", "card", "ip", "api_key"];

interface Draft {
  id: string;
  kind: string;
  check: string[];
  routes: string[];
  detect: string[];
  action: string;
  list: string;
  onError: string;
}

const texts = (value: unknown): string[] => (Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : []);
const text = (value: unknown, fallback: string): string => (typeof value === "string" ? value : fallback);

const draftOf = (guard: Guard | undefined): Draft => ({
  id: guard?.id ?? "",
  kind: guard?.kind ?? "pii",
  check: guard?.check ?? ["request", "response"],
  routes: guard?.routes ?? [],
  detect: guard ? texts(guard.detect) : ["email", "phone", "api_key"],
  action: text(guard?.action, "replace"),
  list: text(guard?.list, "terms"),
  onError: text(guard?.on_error, "open"),
});

function guardOf(draft: Draft, before: Guard | undefined): Guard {
  let guard: Guard = { ...(before ?? { id: "", kind: "" }), id: draft.id.trim(), kind: draft.kind };
  guard = withField(guard, "check", draft.check.length === 2 && before?.check === undefined ? undefined : draft.check);
  guard = withField(guard, "routes", draft.routes);
  if (draft.kind === "pii") guard = withField(withField(guard, "detect", draft.detect), "action", draft.action === "replace" && before?.action === undefined ? undefined : draft.action);
  if (draft.kind === "words" && (before === undefined || typeof before.list === "string")) guard = withField(guard, "list", draft.list.trim());
  return withField(guard, "on_error", draft.onError === "open" ? undefined : draft.onError);
}

export function GuardForm({ document, etag, guard, onClose }: { document: Document; etag: string | null; guard?: Guard; onClose: () => void }) {
  const [draft, setDraft] = useState<Draft>(() => draftOf(guard));
  const change = (part: Partial<Draft>): void => setDraft({ ...draft, ...part });
  const id = draft.id.trim();
  const isTaken = (document.guards ?? []).some((one) => one.id === id && one.id !== guard?.id);
  const missing = {
    id: id === "" ? t("form.required") : isTaken ? t("form.taken") : undefined,
    list: draft.kind === "words" && draft.list.trim() === "" ? t("form.required") : undefined,
  };
  return (
    <DocumentForm
      title={guard ? t("guards.edit_title", { id: guard.id }) : t("guards.add")}
      note={guard ? `guard ${guard.id}` : `add guard ${id}`}
      etag={etag}
      missing={missing}
      edit={(before) => ({ ...before, guards: withItem(before.guards, guard?.id, (one) => guardOf(draft, one)) })}
      removal={guard && { label: t("action.remove"), edit: (before) => ({ ...before, guards: withItem(before.guards, guard.id, null) }) }}
      onClose={onClose}
    >
      {(errorOf) => (
        <>
          <TextField label={t("guards.id")} value={draft.id} error={errorOf("id")} onInput={(value) => change({ id: value })} focus />
          <SelectField label={t("guards.kind")} hint={t("guards.kind_hint")} value={draft.kind} error={errorOf("kind")} onChange={(kind) => change({ kind })} choices={(guard ? [guard.kind] : OWN_KINDS).map((value) => ({ value, label: value }))} />
          <CheckList label={t("guards.check")} choices={["request", "response"].map((value) => ({ value, label: value === "request" ? t("guards.request") : t("guards.response") }))} value={draft.check} onChange={(check) => change({ check })} />
          {draft.kind === "pii" && <CheckList label={t("guards.detect")} hint={t("guards.detect_hint")} choices={PII.map((value) => ({ value, label: value }))} value={draft.detect} onChange={(detect) => change({ detect })} />}
          {draft.kind === "pii" && <SelectField label={t("guards.action")} value={draft.action} error={errorOf("action")} onChange={(action) => change({ action })} choices={(["replace", "hash", "refuse"] as const).map((value) => ({ value, label: t(`guards.action_${value}`) }))} />}
          {draft.kind === "words" && <TextField label={t("guards.list")} hint={t("guards.list_hint")} mono value={draft.list} error={errorOf("list")} onInput={(list) => change({ list })} />}
          <SelectField label={t("guards.on_error")} value={draft.onError} error={errorOf("on_error")} onChange={(onError) => change({ onError })} choices={[{ value: "open", label: t("guards.open") }, { value: "closed", label: t("guards.closed") }]} />
          <CheckList label={t("consumers.routes")} hint={t("limits.everywhere_hint")} choices={(document.routes ?? []).map((route) => ({ value: route.id, label: route.id }))} value={draft.routes} onChange={(routes) => change({ routes })} />
        </>
      )}
    </DocumentForm>
  );
}
