// Settings: language, theme, time zone of this browser; keys in the vault; about this gateway.

import { useState } from "preact/hooks";

import { applyTheme, remember, theme, zone, type Theme } from "../app/preferences";
import { hasVault, may, session } from "../app/session";
import { call, escapePath } from "../data/client";
import { reload, useResource, type Page } from "../data/resource";
import type { SecretEntry, VaultEntry } from "../data/shapes";
import { useAttempt } from "../kit/attempt";
import { Button, Segments, SelectField, TextField } from "../kit/controls";
import { Confirm, Dialog, toast } from "../kit/dialog";
import { ago, moment } from "../kit/format";
import { Badge, Empty, ErrorNotice, Head, Load, Panel } from "../kit/layout";
import { Table } from "../kit/table";
import { language, t, useLanguage, type Language } from "../lang";
import { Prices } from "./settings/prices";

const ZONES = typeof Intl.supportedValuesOf === "function" ? Intl.supportedValuesOf("timeZone") : [];

function Look() {
  return (
    <Panel title={t("settings.look")} about={t("settings.look_about")}>
      <div class="form">
        <div class="field"><span class="legend">{t("settings.language")}</span><div><Segments<Language> label={t("settings.language")} value={language.value} onChange={(next) => { remember("language", next); void useLanguage(next); }} choices={[{ value: "en", label: "English" }, { value: "zh", label: "中文" }]} /></div></div>
        <div class="field"><span class="legend">{t("settings.theme")}</span><div><Segments<Theme> label={t("settings.theme")} value={theme.value} onChange={(next) => { remember("theme", next === "system" ? "" : next); applyTheme(next); }} choices={[{ value: "system", label: t("theme.system") }, { value: "light", label: t("theme.light") }, { value: "dark", label: t("theme.dark") }]} /></div></div>
        <SelectField label={t("settings.zone")} value={zone.value} onChange={(next) => { remember("zone", next); zone.value = next; }} choices={[{ value: "", label: t("settings.zone_browser", { zone: Intl.DateTimeFormat().resolvedOptions().timeZone }) }, ...["UTC", ...ZONES.filter((one) => one !== "UTC")].map((value) => ({ value, label: value }))]} />
      </div>
    </Panel>
  );
}

function SetKey({ name: fixed, onClose }: { name?: string; onClose: () => void }) {
  const [name, setName] = useState(fixed ?? "");
  const [value, setValue] = useState("");
  const [note, setNote] = useState("");
  const { error, busy, attempt } = useAttempt();
  async function save(): Promise<void> {
    await attempt(async () => {
      await call("PUT", `vault/${escapePath(name.trim())}`, { body: { value: value.trim(), ...(note ? { note } : {}) } });
      setValue("");
      reload("vault");
      toast(t("vault.saved", { name }));
      onClose();
    });
  }
  return (
    <Dialog title={fixed ? t("vault.replace", { name: fixed }) : t("vault.add")} onClose={onClose} footer={<><Button onClick={onClose}>{t("action.cancel")}</Button><Button kind="primary" need="owner" busy={busy} disabled={name.trim() === "" || value.trim() === ""} reason={t("form.required")} onClick={() => void save()}>{t("action.save")}</Button></>}>
      {error && <ErrorNotice error={error} />}
      <p class="hint">{t("vault.about_write")}</p>
      <div class="form">
        {!fixed && <TextField label={t("vault.name")} mono value={name} hint={t("vault.name_hint")} onInput={setName} focus />}
        <TextField label={t("providers.api_key")} type="password" value={value} onInput={setValue} />
        <TextField label={t("keys.note")} value={note} onInput={setNote} />
      </div>
    </Dialog>
  );
}

function Vault() {
  const vault = useResource<Page<VaultEntry>>("vault");
  const [open, setOpen] = useState<{ kind: "set" | "delete"; entry?: VaultEntry } | null>(null);
  return (
    <Panel title={t("vault.title")} about={t("vault.about")} flush actions={<Button small icon="plus" need="owner" onClick={() => setOpen({ kind: "set" })}>{t("vault.add")}</Button>}>
      <Load of={vault}>
        {(page) => page.data.length === 0 ? <Empty title={t("vault.none")}><p>{t("vault.none_why")}</p></Empty> : (
          <Table caption={t("vault.title")} rows={page.data} id={(row) => row.name} columns={[
            { head: t("vault.name"), cell: (row) => <span class="tag">vault:{row.name}</span> },
            { head: t("providers.hint"), cell: (row) => <code>…{row.hint}</code> },
            { head: t("vault.used_by"), cell: (row) => row.used_by.join(", ") || <Badge>{t("keys.unused")}</Badge> },
            { head: t("config.by"), cell: (row) => row.by },
            { head: t("config.at"), cell: (row) => <span title={moment(row.at)}>{ago(row.at)}</span> },
            { head: "", end: true, cell: (row) => <span class="row nowrap end"><Button small need="owner" onClick={() => setOpen({ kind: "set", entry: row })}>{t("vault.replace_short")}</Button><Button small kind="danger" need="owner" disabled={row.used_by.length > 0} reason={t("providers.in_use", { n: row.used_by.length })} onClick={() => setOpen({ kind: "delete", entry: row })}>{t("action.remove")}</Button></span> },
          ]} />
        )}
      </Load>
      {open?.kind === "set" && <SetKey name={open.entry?.name} onClose={() => setOpen(null)} />}
      {open?.kind === "delete" && open.entry && (
        <Confirm title={t("vault.delete", { name: open.entry.name })} action={t("action.remove")} typed={open.entry.name} onClose={() => setOpen(null)} onConfirm={async () => {
          await call("DELETE", `vault/${escapePath(open.entry?.name ?? "")}`);
          reload("vault");
          setOpen(null);
        }}>
          <p>{t("vault.delete_about")}</p>
        </Confirm>
      )}
    </Panel>
  );
}

function Secrets() {
  const secrets = useResource<Page<SecretEntry>>("secrets");
  return (
    <Panel title={t("secrets.title")} about={t("secrets.about")} flush>
      <Load of={secrets}>
        {(page) => (
          <Table caption={t("secrets.title")} rows={page.data} id={(row) => row.name} columns={[
            { head: t("vault.name"), cell: (row) => <span class="tag">{row.name}</span> },
            { head: t("providers.state"), cell: (row) => (row.set ? <Badge kind="good" icon="check">{t("providers.key_set")}</Badge> : <Badge kind="bad">{t("providers.key_missing")}</Badge>) },
            { head: t("vault.used_by"), cell: (row) => row.reserved ? t("secrets.own") : row.used_by.join(", ") || "–" },
          ]} />
        )}
      </Load>
    </Panel>
  );
}

export function View() {
  const own = session.value;
  return (
    <>
      <Head title={t("nav.settings")} />
      <Look />
      {hasVault() && may("editor") && <Vault />}
      <div class="grid two">
        {may("owner") && <Secrets />}
        <div class="stack">
          <Panel title={t("settings.about")}>
            <dl class="pairs">
              <dt>serin</dt><dd>{own?.version ?? "–"}</dd>
              <dt>{t("settings.edge")}</dt><dd>{own?.edge === "spin" ? "Spin" : own?.edge ? "Cloudflare Workers" : "–"}</dd>
              <dt>{t("settings.config_version")}</dt><dd>{own?.config_version ?? "–"}</dd>
              <dt>{t("settings.session")}</dt><dd>{own?.expires_at ? t("settings.session_until", { at: moment(own.expires_at) }) : "–"}</dd>
              <dt>API</dt><dd><a href="/admin/v1/openapi.json" target="_blank" rel="noreferrer">/admin/v1/openapi.json</a></dd>
            </dl>
          </Panel>
          <Prices />
        </div>
      </div>
    </>
  );
}
