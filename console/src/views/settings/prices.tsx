// Prices of models, and their import from a file: LiteLLM's `model_prices_and_context_window.json`.
//
// The operator chooses the file. The console asks no other origin, and brings no list that would become outdated.

import { useState } from "preact/hooks";

import { targetName, withField, type Document } from "../../data/document";
import { useResource } from "../../data/resource";
import { Button, Check } from "../../kit/controls";
import { DocumentForm } from "../../kit/document-form";
import { money } from "../../kit/format";
import { Empty, Load, Notice, Panel } from "../../kit/layout";
import { Table } from "../../kit/table";
import { t } from "../../lang";

type Price = NonNullable<Document["prices"]>[number];

/** Longest file. LiteLLM's has about 1 MB. */
const MAX_FILE_BYTES = 16 << 20;

/** Models that the routes' targets name. */
function modelsOf(document: Document): string[] {
  const targets = (document.routes ?? []).flatMap((route) => [...route.targets, ...(route.fallback ?? [])].flatMap((target) => (target.model ? [targetName(target, route)] : route.models.map((model) => `${target.provider}/${model}`))));
  return [...new Set(targets)].filter((name) => !name.includes("*") && !name.includes("~")).sort();
}

/** Dollars for a million tokens, with as many decimals as the gateway keeps. */
const perMillion = (perToken: unknown): number | undefined => (typeof perToken === "number" && perToken >= 0 ? Number((perToken * 1e6).toFixed(9)) : undefined);

/** Prices of the models in a file, by `provider/model`, `model`, or the file's own prefixes. */
export function pricesIn(file: unknown, models: string[]): Price[] {
  if (typeof file !== "object" || file === null || Array.isArray(file)) throw new Error(t("prices.not_a_list"));
  const listed = file as Record<string, Record<string, unknown> | undefined>;
  const found = new Map<string, Price>();
  for (const name of models) {
    const model = name.slice(name.indexOf("/") + 1);
    const entry = listed[name] ?? listed[model];
    const [input, output] = [perMillion(entry?.input_cost_per_token), perMillion(entry?.output_cost_per_token ?? 0)];
    if (entry === undefined || input === undefined || output === undefined) continue;
    const cached = perMillion(entry.cache_read_input_token_cost);
    const written = perMillion(entry.cache_creation_input_token_cost);
    found.set(model, withField(withField({ model, input, output } as Price, "cached_input", cached), "cache_write", written));
  }
  return [...found.values()];
}

const isSame = (one: Price | undefined, other: Price): boolean => one !== undefined && ["input", "output", "cached_input", "cache_write"].every((field) => one[field] === other[field]);

/** Exact names before patterns, since the first price that fits counts. */
function merge(before: Price[], chosen: Price[]): Price[] {
  const kept = before.map((price) => { const next = chosen.find((one) => one.model === price.model); return next ? { ...price, ...next } : price; });
  return [...chosen.filter((one) => !before.some((price) => price.model === one.model)), ...kept];
}

function Import({ document, etag, onClose }: { document: Document; etag: string | null; onClose: () => void }) {
  const [prices, setPrices] = useState<Price[]>([]);
  const [chosen, setChosen] = useState<string[]>([]);
  const [problem, setProblem] = useState("");
  const [isRead, setRead] = useState(false);
  const models = modelsOf(document);
  const before = (price: Price): Price | undefined => (document.prices ?? []).find((one) => one.model === price.model);
  async function read(file: File | undefined): Promise<void> {
    if (!file) return;
    setProblem("");
    try {
      if (file.size > MAX_FILE_BYTES) throw new Error(t("prices.too_large"));
      const found = pricesIn(JSON.parse(await file.text()), models).filter((price) => !isSame(before(price), price));
      setPrices(found);
      setChosen(found.map((price) => price.model));
      setRead(true);
    } catch (error) {
      setProblem(error instanceof SyntaxError ? t("prices.not_json") : error instanceof Error ? error.message : String(error));
    }
  }
  const picked = prices.filter((price) => chosen.includes(price.model));
  return (
    <DocumentForm title={t("prices.import")} note="import prices" etag={etag} missing={{ file: picked.length === 0 ? t("prices.nothing_chosen") : undefined }} edit={(now) => ({ ...now, prices: merge(now.prices ?? [], picked) })} onClose={onClose}>
      {(errorOf) => (
        <div class="stack wide">
          <p>{t("prices.import_about")} <code>model_prices_and_context_window.json</code></p>
          <div class="field">
            <label for="prices-file">{t("prices.file")}</label>
            <input id="prices-file" type="file" accept="application/json,.json" aria-describedby="prices-problem" onChange={(event) => void read(event.currentTarget.files?.[0])} />
            <p id="prices-problem" class="problem" role="alert">{problem || errorOf("file")}</p>
          </div>
          {isRead && prices.length === 0 && <Notice kind="info">{t("prices.nothing_new", { n: models.length })}</Notice>}
          {prices.length > 0 && (
            <Table caption={t("prices.import")} rows={prices} id={(row) => row.model} columns={[
              { head: t("requests.model"), cell: (row) => <Check label={<span class="tag">{row.model}</span>} checked={chosen.includes(row.model)} onChange={(isOn) => setChosen(isOn ? [...chosen, row.model] : chosen.filter((one) => one !== row.model))} /> },
              { head: t("prices.input"), end: true, cell: (row) => `${money(before(row)?.input)} → ${money(row.input)}` },
              { head: t("prices.output"), end: true, cell: (row) => `${money(before(row)?.output)} → ${money(row.output)}` },
            ]} />
          )}
        </div>
      )}
    </DocumentForm>
  );
}

export function Prices() {
  const config = useResource<Document>("config");
  const [isImporting, setImporting] = useState(false);
  return (
    <Panel title={t("prices.title")} about={t("prices.about")} flush actions={<Button small icon="plus" need="owner" onClick={() => setImporting(true)}>{t("prices.import")}</Button>}>
      <Load of={config}>
        {(document) => (
          <>
            {(document.prices ?? []).length === 0 ? <Empty title={t("prices.none")}><p>{t("overview.no_prices_why")}</p></Empty> : (
              <Table caption={t("prices.title")} rows={document.prices ?? []} id={(row) => row.model} columns={[
                { head: t("requests.model"), cell: (row) => <span class="tag">{row.model}</span> },
                { head: t("prices.input"), end: true, cell: (row) => money(row.input) },
                { head: t("prices.output"), end: true, cell: (row) => money(row.output) },
              ]} />
            )}
            {isImporting && <Import document={document} etag={config.etag} onClose={() => setImporting(false)} />}
          </>
        )}
      </Load>
    </Panel>
  );
}
