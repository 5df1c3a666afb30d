// One real call to a provider, outside of the routes.

import { useState } from "preact/hooks";

import { call, escapePath, get } from "../../data/client";
import type { TestResult } from "../../data/shapes";
import type { Page } from "../../data/resource";
import { useAttempt } from "../../kit/attempt";
import { Button, TextField } from "../../kit/controls";
import { ms } from "../../kit/format";
import { ErrorNotice, Notice } from "../../kit/layout";
import { t } from "../../lang";

/** Models of a provider that are shown; the field completes the others. */
const MAX_LISTED = 40;

export function TestOutcome({ result }: { result: TestResult }) {
  return (
    <Notice kind={result.ok ? "good" : "bad"}>
      <strong>{result.ok ? t("test.answered") : t("test.failed", { error: result.error?.result ?? result.error?.message ?? "?" })}</strong>
      <span class="small">{[result.status !== null && `HTTP ${result.status}`, result.first_token_ms !== null && t("test.first", { time: ms(result.first_token_ms) }), t("test.total", { time: ms(result.total_ms) }), result.ok && result.usage_reported === false && t("test.no_usage")].filter(Boolean).join(" · ")}</span>
      {result.error && <span class="small">{result.error.message}{result.error.detail ? ` (${result.error.detail})` : ""}</span>}
      {result.text && <q class="small">{result.text}</q>}
    </Notice>
  );
}

/** Fields and button of a test. `body` is what the call sends besides the model. */
export function Test({ providerId, models, body, onResult }: { providerId?: string; models: string[]; body?: () => Record<string, unknown>; onResult?: (result: TestResult) => void }) {
  const [model, setModel] = useState(models[0] ?? "");
  const { error, busy, attempt } = useAttempt();
  const [result, setResult] = useState<TestResult | null>(null);
  const [listed, setListed] = useState<string[] | null>(null);
  const list = useAttempt();
  async function readModels(id: string): Promise<void> {
    await list.attempt(async () => {
      const { data } = await get<Page<{ id: string }>>(`providers/${escapePath(id)}/models`);
      setListed(data.map((one) => one.id));
    });
  }
  async function run(): Promise<void> {
    setResult(null);
    await attempt(async () => {
      const path = providerId === undefined ? "providers/test" : `providers/${escapePath(providerId)}/test`;
      const { data } = await call<TestResult>("POST", path, { body: { ...body?.(), model: model.trim(), stream: true } });
      setResult(data);
      onResult?.(data);
    });
  }
  return (
    <div class="stack">
      <div class="filters">
        <TextField label={t("test.model")} value={model} list={[...new Set([...models, ...(listed ?? [])])]} onInput={setModel} placeholder="gpt-4o-mini" />
        <Button need={providerId === undefined ? "owner" : "editor"} icon="play" busy={busy} disabled={model.trim() === ""} reason={t("test.model_first")} onClick={() => void run()}>{busy ? t("test.running") : t("test.run")}</Button>
        {providerId !== undefined && <Button busy={list.busy} onClick={() => void readModels(providerId)}>{t("test.models")}</Button>}
      </div>
      {list.error && <ErrorNotice error={list.error} />}
      {listed && (listed.length === 0 ? <p class="hint">{t("test.no_models")}</p> : (
        <div class="tags" role="group" aria-label={t("test.models")}>{listed.slice(0, MAX_LISTED).map((one) => <button key={one} type="button" class="tag" aria-pressed={one === model} onClick={() => setModel(one)}>{one}</button>)}</div>
      ))}
      <div aria-live="polite">
        {error && <ErrorNotice error={error} />}
        {result && <TestOutcome result={result} />}
        {!error && !result && <p class="hint">{t("test.about")}</p>}
      </div>
    </div>
  );
}
