// Form of a limit. Fields that it does not show stay as they are.

import { useState } from "preact/hooks";

import { withField, type Document, type Limit, type Quota } from "../../data/document";
import { CheckList, SelectField, TextField } from "../../kit/controls";
import { DocumentForm, withItem } from "../../kit/document-form";
import { t } from "../../lang";

const MEASURES = ["requests", "tokens", "cost"] as const;
const PERIODS = ["second", "minute", "hour", "day", "month", "total"] as const;
type Measure = (typeof MEASURES)[number];

interface Draft {
  id: string;
  by: string;
  quotas: Record<Measure, { max: string; per: string }>;
  routes: string[];
  groups: string[];
  onError: string;
}

function draftOf(limit: Limit | undefined): Draft {
  const quota = (measure: Measure): { max: string; per: string } => {
    const found = [limit?.[measure] ?? []].flat()[0];
    return { max: found ? String(found.max) : "", per: found?.per ?? (measure === "cost" ? "month" : measure === "tokens" ? "day" : "minute") };
  };
  return {
    id: limit?.id ?? "",
    by: limit?.by ?? "consumer",
    quotas: { requests: quota("requests"), tokens: quota("tokens"), cost: quota("cost") },
    routes: limit?.on?.routes ?? [],
    groups: limit?.on?.groups ?? [],
    onError: typeof limit?.on_error === "string" ? limit.on_error : "open",
  };
}

function limitOf(draft: Draft, before: Limit | undefined): Limit {
  let limit: Limit = { ...(before ?? { id: "", by: "" }), id: draft.id.trim(), by: draft.by.trim() };
  for (const measure of MEASURES) {
    const { max, per } = draft.quotas[measure];
    const old = [before?.[measure] ?? []].flat()[0];
    limit = withField(limit, measure, max === "" ? undefined : ({ ...old, per, max: Number(max) } satisfies Quota));
  }
  let on: NonNullable<Limit["on"]> = before?.on ?? {};
  on = withField(withField(on, "routes", draft.routes), "groups", draft.groups);
  limit = withField(limit, "on", Object.keys(on).length > 0 ? on : undefined);
  return withField(limit, "on_error", draft.onError === "open" ? undefined : draft.onError);
}

export function LimitForm({ document, etag, limit, onClose }: { document: Document; etag: string | null; limit?: Limit; onClose: () => void }) {
  const [draft, setDraft] = useState<Draft>(() => draftOf(limit));
  const change = (part: Partial<Draft>): void => setDraft({ ...draft, ...part });
  const id = draft.id.trim();
  const isTaken = (document.limits ?? []).some((one) => one.id === id && one.id !== limit?.id);
  const missing = {
    id: id === "" ? t("form.required") : isTaken ? t("form.taken") : undefined,
    by: draft.by.trim() === "" ? t("form.required") : undefined,
    requests: MEASURES.every((measure) => draft.quotas[measure].max === "") ? t("limits.quota_rule") : undefined,
  };
  const choices = (ids: string[], chosen: string[]) => [...new Set([...ids, ...chosen])].map((value) => ({ value, label: value }));
  return (
    <DocumentForm
      title={limit ? t("limits.edit_title", { id: limit.id }) : t("limits.add")}
      note={limit ? `limit ${limit.id}` : `add limit ${id}`}
      etag={etag}
      missing={missing}
      edit={(before) => ({ ...before, limits: withItem(before.limits, limit?.id, (one) => limitOf(draft, one)) })}
      removal={limit && { label: t("action.remove"), edit: (before) => ({ ...before, limits: withItem(before.limits, limit.id, null) }), to: "limits" }}
      onClose={onClose}
    >
      {(errorOf) => (
        <>
          <TextField label={t("limits.id")} value={draft.id} error={errorOf("id")} onInput={(value) => change({ id: value })} focus />
          <TextField label={t("limits.by")} hint={t("limits.by_about")} list={["all", "consumer", "group", "ip", "header:NAME", "param:NAME", "cookie:NAME"]} value={draft.by} error={errorOf("by")} onInput={(by) => change({ by })} />
          {MEASURES.map((measure) => (
            <fieldset key={measure} class="field">
              <legend class="legend">{t(`limits.max_${measure}`)}</legend>
              <div class="row">
                <TextField label={t("limits.max")} type="number" min={0} step="any" value={draft.quotas[measure].max} error={errorOf(measure)} onInput={(max) => change({ quotas: { ...draft.quotas, [measure]: { ...draft.quotas[measure], max } } })} />
                <SelectField label={t("limits.per")} value={draft.quotas[measure].per} onChange={(per) => change({ quotas: { ...draft.quotas, [measure]: { ...draft.quotas[measure], per } } })} choices={PERIODS.map((value) => ({ value, label: t(`per.${value}`) }))} />
              </div>
            </fieldset>
          ))}
          <SelectField label={t("limits.on_error")} hint={draft.onError === "closed" ? t("limits.closed_about") : t("limits.open_about")} value={draft.onError} error={errorOf("on_error")} onChange={(onError) => change({ onError })} choices={[{ value: "open", label: t("limits.open") }, { value: "closed", label: t("limits.closed") }]} />
          <CheckList label={t("consumers.routes")} hint={t("limits.everywhere_hint")} choices={choices((document.routes ?? []).map((route) => route.id), draft.routes)} value={draft.routes} onChange={(routes) => change({ routes })} />
          {(document.groups ?? []).length > 0 && <CheckList label={t("limits.groups")} hint={t("limits.everywhere_hint")} choices={choices((document.groups ?? []).map((group) => group.id), draft.groups)} value={draft.groups} onChange={(groups) => change({ groups })} />}
        </>
      )}
    </DocumentForm>
  );
}
