// Balances of one value of a limit, and the dialog that adjusts them.

import { useState } from "preact/hooks";

import { href } from "../../app/router";
import { call, escapePath } from "../../data/client";
import type { components } from "../../data/api";
import { reload, useResource } from "../../data/resource";
import { useAttempt } from "../../kit/attempt";
import { Button, Segments, SelectField, TextField } from "../../kit/controls";
import { Dialog, toast } from "../../kit/dialog";
import { ago, count, money } from "../../kit/format";
import { ErrorNotice, Load, Meter } from "../../kit/layout";
import { t, type Key } from "../../lang";

type Balance = components["schemas"]["Balance"];
type AllBalances = components["schemas"]["Balances"];

export const amount = (value: number, measure: string): string => (measure === "cost" ? money(value) : count(value));

function Quota({ of }: { of: Balance }) {
  const held = of.held > 0 ? ` · ${t("limits.held", { n: amount(of.held, of.measure) })}` : "";
  return <Meter share={of.max > 0 ? of.used / of.max : 1} label={`${t("limits.left", { left: amount(of.left, of.measure), max: amount(of.max, of.measure), measure: t(`measure.${of.measure}`), per: t(`per.${of.per}` as Key) })}${held}${of.resets_at ? ` · ${t("limits.resets", { at: ago(of.resets_at) })}` : ""}`} />;
}

function Adjust({ limit, value, quotas, onClose }: { limit: string; value: string; quotas: Balance[]; onClose: () => void }) {
  const [measure, setMeasure] = useState(quotas[0]?.measure ?? "requests");
  const [mode, setMode] = useState<"left" | "by">("by");
  const [number, setNumber] = useState("");
  const quota = quotas.find((one) => one.measure === measure);
  const [lasts, setLasts] = useState(quota?.per === "day" || quota?.per === "month" ? "this_period" : "permanent");
  const [until, setUntil] = useState("");
  const { error, busy, attempt } = useAttempt();
  const [isTried, setTried] = useState(false);
  const invalid = number.trim() === "" || !Number.isFinite(Number(number)) || (mode === "left" && Number(number) < 0);
  async function save(): Promise<void> {
    setTried(true);
    if (invalid) return;
    await attempt(async () => {
      const duration = lasts === "until" ? { until: new Date(until).toISOString() } : { for: lasts };
      await call("POST", `limits/${escapePath(limit)}/${escapePath(value)}/adjust`, { body: { measure, [mode]: Number(number), ...duration } });
      reload("limits");
      toast(t("limits.adjusted"));
      onClose();
    });
  }
  const own = error?.field === mode ? error.message : undefined;
  return (
    <Dialog title={t("limits.adjust_title", { value, limit })} onClose={onClose} footer={<><Button onClick={onClose}>{t("action.cancel")}</Button><Button kind="primary" need="editor" busy={busy} onClick={() => void save()}>{t("limits.adjust")}</Button></>}>
      {error && !own && <ErrorNotice error={error} />}
      {quota && <Quota of={quota} />}
      <div><Segments<"by" | "left"> label={t("limits.mode")} value={mode} onChange={setMode} choices={[{ value: "by", label: t("limits.by_amount") }, { value: "left", label: t("limits.set_left") }]} /></div>
      <div class="form">
        {quotas.length > 1 && <SelectField label={t("limits.measure")} value={measure} onChange={(next) => setMeasure(next as Balance["measure"])} choices={quotas.map((one) => ({ value: one.measure, label: t(`measure.${one.measure}`) }))} />}
        <TextField label={mode === "by" ? t("limits.by_amount") : t("limits.set_left")} type="number" step="any" value={number} error={(isTried && invalid ? t("limits.number_rule") : undefined) ?? own} hint={mode === "by" ? t("limits.by_hint") : undefined} onInput={setNumber} focus />
        <SelectField label={t("limits.lasts")} value={lasts} onChange={setLasts} choices={[...(quota?.per === "day" || quota?.per === "month" ? [{ value: "this_period", label: t("limits.this_period") }] : []), { value: "permanent", label: t("limits.permanent") }, { value: "until", label: t("limits.until") }]} />
        {lasts === "until" && <TextField label={t("keys.at")} type="datetime-local" value={until} error={error?.field === "until" ? error.message : undefined} onInput={setUntil} />}
      </div>
    </Dialog>
  );
}

export function Adjustable({ limit, value, quotas }: { limit: string; value: string; quotas: Balance[] }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <div class="row">
      <div class="grow stack tight">{quotas.map((quota) => <Quota key={quota.measure + quota.per} of={quota} />)}</div>
      <Button small need="editor" label={t("limits.adjust_title", { value, limit })} onClick={() => setOpen(true)}>{t("limits.adjust")}</Button>
      {isOpen && <Adjust limit={limit} value={value} quotas={quotas} onClose={() => setOpen(false)} />}
    </div>
  );
}

/** Balances of one value, read by themselves. */
export function Balances({ limit, value, isCompact }: { limit: string; value: string; isCompact?: boolean }) {
  const balances = useResource<AllBalances>(`limits/${escapePath(limit)}/${escapePath(value)}`, { every: 30_000 });
  return (
    <div class="stack tight">
      {isCompact && <a href={href(`limits/${encodeURIComponent(limit)}`)}><strong>{limit}</strong></a>}
      <Load of={balances}>{(data) => <Adjustable limit={limit} value={value} quotas={data.quotas} />}</Load>
    </div>
  );
}
