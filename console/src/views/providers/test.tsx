// One real call to a provider, outside of the routes.

import { useState } from "preact/hooks";

import { call, escapePath } from "../../data/client";
import type { TestResult } from "../../data/shapes";
import { useAttempt } from "../../kit/attempt";
import { Button, TextField } from "../../kit/controls";
import { ms } from "../../kit/format";
import { ErrorNotice, Notice } from "../../kit/layout";
import { t } from "../../lang";

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
        <TextField label={t("test.model")} value={model} list={models} onInput={setModel} placeholder="gpt-4o-mini" />
        <Button need={providerId === undefined ? "owner" : "editor"} icon="play" busy={busy} disabled={model.trim() === ""} reason={t("test.model_first")} onClick={() => void run()}>{busy ? t("test.running") : t("test.run")}</Button>
      </div>
      <div aria-live="polite">
        {error && <ErrorNotice error={error} />}
        {result && <TestOutcome result={result} />}
        {!error && !result && <p class="hint">{t("test.about")}</p>}
      </div>
    </div>
  );
}
