// Form of a route: models, targets with shares, fallback. Fields that it does not show stay as they are.

import { useState } from "preact/hooks";

import "./routes.css";

import type { Problem } from "../../data/client";
import { withField, type Document, type Route, type Target } from "../../data/document";
import { Button, CheckList, SelectField, TextField } from "../../kit/controls";
import { Dialog } from "../../kit/dialog";
import { Notice } from "../../kit/layout";
import { Publish } from "../../kit/publish";
import { t } from "../../lang";

interface Draft {
  id: string;
  models: string;
  targets: Target[];
  fallback: Target[];
  fallback_on: string[];
  sticky: string;
}

const FAILURES = ["connect", "timeout", "429", "5xx", "limited"];
const USUAL = ["connect", "timeout", "429", "5xx"];

function draftOf(route: Route | undefined, provider: string): Draft {
  return {
    id: route?.id ?? "",
    models: route?.models.join("\n") ?? "",
    targets: route?.targets ?? [{ provider, weight: 100 }],
    fallback: route?.fallback ?? [],
    fallback_on: route?.fallback_on ?? USUAL,
    sticky: route?.sticky ?? "none",
  };
}

function routeOf(draft: Draft, before: Route | undefined): Route {
  const isUsual = before?.fallback_on === undefined && draft.fallback_on.length === USUAL.length && USUAL.every((one) => draft.fallback_on.includes(one));
  let route: Route = { ...(before ?? { id: "", models: [], targets: [] }), id: draft.id.trim() };
  route.models = draft.models.split(/[\n,]/).map((model) => model.trim()).filter((model) => model !== "");
  route.targets = draft.targets;
  route = withField(route, "fallback", draft.fallback);
  route = withField(route, "fallback_on", isUsual ? undefined : draft.fallback_on);
  return withField(route, "sticky", draft.sticky === "none" ? undefined : draft.sticky);
}

function TargetRows({ label, targets, providers, hasWeight, min, onChange }: { label: string; targets: Target[]; providers: string[]; hasWeight: boolean; min: number; onChange: (targets: Target[]) => void }) {
  const change = (index: number, field: string, value: unknown): void => onChange(targets.map((target, at) => (at === index ? withField(target, field, value) : target)));
  return (
    <fieldset class="field wide">
      <legend class="legend">{label}</legend>
      <div class="stack">
        {targets.map((target, index) => (
          <div key={index} class="target-row">
            <SelectField label={t("routes.provider")} value={target.provider} onChange={(value) => change(index, "provider", value)} choices={[...new Set([...providers, target.provider])].map((id) => ({ value: id, label: id }))} />
            <TextField label={t("routes.target_model")} value={target.model ?? ""} placeholder={t("canary.same_model")} onInput={(value) => change(index, "model", value.trim())} />
            {hasWeight ? <TextField label={t("routes.weight")} type="number" min={0} value={String(target.weight ?? "")} onInput={(value) => change(index, "weight", value === "" ? undefined : Number(value))} /> : <span />}
            <Button kind="plain" icon="close" label={t("routes.remove_target", { target: target.provider })} disabled={targets.length <= min} reason={t("routes.one_target")} onClick={() => onChange(targets.filter((_, at) => at !== index))} />
          </div>
        ))}
        <div><Button small icon="plus" disabled={providers.length === 0} reason={t("routes.no_providers")} onClick={() => onChange([...targets, hasWeight ? { provider: providers[0] ?? "", weight: targets.length === 0 ? 100 : 10 } : { provider: providers[0] ?? "" }])}>{t("routes.add_target")}</Button></div>
      </div>
    </fieldset>
  );
}

export function RouteForm({ document, etag, route, onClose, onDone }: { document: Document; etag: string | null; route?: Route; onClose: () => void; onDone: (id: string) => void }) {
  const providers = (document.providers ?? []).map((provider) => provider.id);
  const [draft, setDraft] = useState<Draft>(() => draftOf(route, providers[0] ?? ""));
  const [isPublishing, setPublishing] = useState(false);
  const [problems, setProblems] = useState<Problem[]>([]);
  const [isTried, setTried] = useState(false);
  const change = (part: Partial<Draft>): void => {
    setProblems([]);
    setDraft({ ...draft, ...part });
  };
  const result = routeOf(draft, route);
  const missing = {
    id: result.id === "" ? t("form.required") : (document.routes ?? []).some((one) => one.id === result.id && one.id !== route?.id) ? t("form.taken") : undefined,
    models: result.models.length === 0 ? t("form.required") : undefined,
  };
  const of = (part: string): string | undefined => {
    const found = problems.find((problem) => problem.path.startsWith(`routes.${result.id}.${part}`) || new RegExp(`^routes\\[\\d+\\]\\.${part}`).test(problem.path));
    return found && t("publish.problem", { found: found.found, expected: found.expected });
  };
  const others = problems.filter((problem) => !["id", "models"].some((part) => of(part) && problem.path.includes(part)));

  function next(): void {
    setTried(true);
    if (!missing.id && !missing.models) setPublishing(true);
  }

  return (
    <>
      <Dialog
        kind="wide"
        title={route ? t("routes.edit_title", { id: route.id }) : t("routes.add")}
        onClose={onClose}
        footer={<><Button onClick={onClose}>{t("action.cancel")}</Button><Button kind="primary" need="owner" onClick={next}>{t("action.review")}</Button></>}
      >
        {others.length > 0 && <Notice kind="bad">{others.map((problem) => <span key={problem.path}><code>{problem.path}</code>: {t("publish.problem", { found: problem.found, expected: problem.expected })}</span>)}</Notice>}
        <div class="form">
          <TextField label={t("routes.id")} hint={t("routes.id_hint")} value={draft.id} error={(isTried ? missing.id : undefined) ?? of("id")} onInput={(id) => change({ id })} focus />
          <TextField label={t("routes.sticky")} hint={t("routes.sticky_hint")} list={["none", "consumer", "user", "header:NAME"]} value={draft.sticky} error={of("sticky")} onInput={(sticky) => change({ sticky })} />
          <TextField wide label={t("routes.models")} hint={t("routes.models_hint")} rows={2} mono value={draft.models} error={(isTried ? missing.models : undefined) ?? of("models")} onInput={(models) => change({ models })} />
          <TargetRows label={t("routes.targets_legend")} targets={draft.targets} providers={providers} hasWeight min={1} onChange={(targets) => change({ targets })} />
          <TargetRows label={t("routes.fallback_legend")} targets={draft.fallback} providers={providers} hasWeight={false} min={0} onChange={(fallback) => change({ fallback })} />
          {draft.fallback.length > 0 && <CheckList label={t("routes.fallback_on")} hint={t("routes.fallback_on_hint")} choices={FAILURES.map((value) => ({ value, label: t(`failure.${value as "429"}`) }))} value={draft.fallback_on} onChange={(fallback_on) => change({ fallback_on })} />}
        </div>
      </Dialog>
      {isPublishing && (
        <Publish
          title={route ? t("routes.edit_title", { id: route.id }) : t("routes.add_title", { id: result.id })}
          basis={etag}
          note={route ? `route ${result.id}` : `add route ${result.id}`}
          edit={(before) => ({ ...before, routes: route ? (before.routes ?? []).map((one) => (one.id === route.id ? routeOf(draft, one) : one)) : [...(before.routes ?? []), result] })}
          onClose={() => setPublishing(false)}
          onProblems={setProblems}
          onDone={() => {
            onClose();
            onDone(result.id);
          }}
        />
      )}
    </>
  );
}
