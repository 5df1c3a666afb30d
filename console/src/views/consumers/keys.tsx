// Keys of a consumer: issue, adopt, roll, expire, revoke. A key is shown once.

import { useState } from "preact/hooks";

import { ApiError, call, escapePath } from "../../data/client";
import type { components } from "../../data/api";
import { reload, useResource, type Page } from "../../data/resource";
import { useAttempt } from "../../kit/attempt";
import { Button, Check, Copy, Segments, SelectField, TextField } from "../../kit/controls";
import { Confirm, Dialog, toast } from "../../kit/dialog";
import { ago, moment } from "../../kit/format";
import { Badge, Empty, ErrorNotice, Load, Notice, Panel } from "../../kit/layout";
import { Table } from "../../kit/table";
import { t } from "../../lang";

type Key = components["schemas"]["Key"] & { last_used_at?: string | null };
type Issued = components["schemas"]["IssuedKey"];

/** The one place where a key is visible. It lives in this component and leaves with it. */
function Once({ issued, consumer, onClose }: { issued: Issued; consumer: string; onClose: () => void }) {
  const [isSaved, setSaved] = useState(false);
  const key = issued.key ?? "";
  function download(): void {
    const url = URL.createObjectURL(new Blob([`OPENAI_API_KEY=${key}\nOPENAI_BASE_URL=${window.location.origin}/v1\n`], { type: "text/plain" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `${consumer}.env`;
    link.click();
    URL.revokeObjectURL(url);
  }
  return (
    <Dialog title={t("keys.once_title")} locked onClose={onClose} footer={<Button kind="primary" disabled={!isSaved} reason={t("keys.save_first")} onClick={onClose}>{t("action.done")}</Button>}>
      <Notice kind="warn">{t("keys.once")}</Notice>
      <div class="copy"><code data-secret>{key}</code><Copy text={key} secret /></div>
      <div><Button icon="download" onClick={download}>{t("keys.download")}</Button></div>
      <Check label={t("keys.saved")} checked={isSaved} onChange={setSaved} />
    </Dialog>
  );
}

const LIFETIMES = ["never", "1", "7", "30", "90", "365", "custom"] as const;

function expiry(lifetime: string, custom: string): string | null {
  if (lifetime === "never") return null;
  if (lifetime === "custom") return custom === "" ? null : new Date(custom).toISOString();
  return new Date(Date.now() + Number(lifetime) * 86_400_000).toISOString();
}

function Lifetime({ value, custom, onChange, error }: { value: string; custom: string; onChange: (value: string, custom: string) => void; error?: string }) {
  return (
    <>
      <SelectField label={t("keys.expires")} value={value} error={value === "custom" ? undefined : error} onChange={(next) => onChange(next, custom)} choices={LIFETIMES.map((one) => ({ value: one, label: one === "never" ? t("keys.never") : one === "custom" ? t("keys.custom") : t("keys.days", { n: Number(one) }) }))} />
      {value === "custom" && <TextField label={t("keys.at")} type="datetime-local" value={custom} error={error} onInput={(next) => onChange(value, next)} />}
    </>
  );
}

function NewKey({ consumer, onClose, onIssued }: { consumer: string; onClose: () => void; onIssued: (issued: Issued) => void }) {
  const [mode, setMode] = useState<"issue" | "adopt">("issue");
  const [key, setKey] = useState("");
  const [note, setNote] = useState("");
  const [lifetime, setLifetime] = useState("90");
  const [custom, setCustom] = useState("");
  const { error, busy, attempt } = useAttempt();
  async function create(): Promise<void> {
    await attempt(async () => {
      const expires_at = expiry(lifetime, custom);
      const { data } = await call<Issued>("POST", `consumers/${escapePath(consumer)}/keys`, { body: { ...(mode === "adopt" ? { key: key.trim() } : {}), ...(expires_at ? { expires_at } : {}), ...(note ? { note } : {}) } });
      reload(`consumers/${escapePath(consumer)}/keys`);
      onClose();
      if (data.key) onIssued(data);
      else toast(t("keys.adopted_done"));
    });
  }
  const fields = ["key", "note", "expires_at"];
  const of = (field: string): string | undefined => (error?.field === field ? error.message : undefined);
  return (
    <Dialog title={t("keys.add")} onClose={onClose} footer={<><Button onClick={onClose}>{t("action.cancel")}</Button><Button kind="primary" need="editor" busy={busy} onClick={() => void create()}>{mode === "issue" ? t("keys.issue") : t("keys.adopt")}</Button></>}>
      {error && !fields.includes(error.field ?? "") && <ErrorNotice error={error} />}
      <div><Segments<"issue" | "adopt"> label={t("keys.add")} value={mode} onChange={setMode} choices={[{ value: "issue", label: t("keys.issue") }, { value: "adopt", label: t("keys.adopt") }]} /></div>
      <p class="hint">{mode === "issue" ? t("keys.issue_about") : t("keys.adopt_about")}</p>
      {mode === "adopt" && <TextField label={t("keys.existing")} type="password" hint={t("keys.existing_hint")} value={key} error={of("key") ?? (error?.code === "already_exists" ? t("keys.taken") : undefined)} onInput={setKey} />}
      <div class="form">
        <TextField label={t("keys.note")} hint={t("keys.note_hint")} value={note} error={of("note")} onInput={setNote} />
        <Lifetime value={lifetime} custom={custom} error={of("expires_at")} onChange={(value, at) => { setLifetime(value); setCustom(at); }} />
      </div>
    </Dialog>
  );
}

function Roll({ consumer, of, onClose, onIssued }: { consumer: string; of: Key; onClose: () => void; onIssued: (issued: Issued) => void }) {
  const [grace, setGrace] = useState("24h");
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  async function roll(): Promise<void> {
    setBusy(true);
    try {
      const { data } = await call<Issued>("POST", `consumers/${escapePath(consumer)}/keys/${escapePath(of.id)}/roll`, { body: { grace } });
      reload(`consumers/${escapePath(consumer)}/keys`);
      onClose();
      onIssued(data);
    } catch (failure) {
      setError(ApiError.of(failure));
    }
    setBusy(false);
  }
  return (
    <Dialog title={t("keys.roll_title", { hint: of.hint })} onClose={onClose} footer={<><Button onClick={onClose}>{t("action.cancel")}</Button><Button kind="primary" need="editor" busy={busy} onClick={() => void roll()}>{t("keys.roll")}</Button></>}>
      {error && <ErrorNotice error={error} />}
      <p>{t("keys.roll_about")}</p>
      <SelectField label={t("keys.grace")} value={grace} onChange={setGrace} choices={["0s", "1h", "24h", "168h", "720h"].map((value) => ({ value, label: value === "0s" ? t("keys.at_once") : value }))} />
    </Dialog>
  );
}

function Expire({ consumer, of, onClose }: { consumer: string; of: Key; onClose: () => void }) {
  const [lifetime, setLifetime] = useState(of.expires_at ? "custom" : "30");
  const [custom, setCustom] = useState(of.expires_at ? of.expires_at.slice(0, 16) : "");
  const [note, setNote] = useState(of.note ?? "");
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  async function save(): Promise<void> {
    setBusy(true);
    try {
      await call("PATCH", `consumers/${escapePath(consumer)}/keys/${escapePath(of.id)}`, { body: { expires_at: expiry(lifetime, custom), note: note || null } });
      reload(`consumers/${escapePath(consumer)}/keys`);
      onClose();
    } catch (failure) {
      setError(ApiError.of(failure));
    }
    setBusy(false);
  }
  return (
    <Dialog title={t("keys.edit_title", { hint: of.hint })} onClose={onClose} footer={<><Button onClick={onClose}>{t("action.cancel")}</Button><Button kind="primary" need="editor" busy={busy} onClick={() => void save()}>{t("action.save")}</Button></>}>
      {error && error.field !== "expires_at" && error.field !== "note" && <ErrorNotice error={error} />}
      <div class="form">
        <TextField label={t("keys.note")} value={note} error={error?.field === "note" ? error.message : undefined} onInput={setNote} />
        <Lifetime value={lifetime} custom={custom} error={error?.field === "expires_at" ? error.message : undefined} onChange={(value, at) => { setLifetime(value); setCustom(at); }} />
      </div>
    </Dialog>
  );
}

export function Keys({ consumer }: { consumer: string }) {
  const path = `consumers/${escapePath(consumer)}/keys`;
  const keys = useResource<Page<Key>>(`${path}?limit=200`);
  const [open, setOpen] = useState<{ kind: "new" | "roll" | "edit" | "revoke"; of?: Key } | null>(null);
  const [issued, setIssued] = useState<Issued | null>(null);
  const close = (): void => setOpen(null);
  return (
    <Panel title={t("keys.title")} about={t("keys.about")} actions={<Button icon="plus" need="editor" onClick={() => setOpen({ kind: "new" })}>{t("keys.add")}</Button>} flush>
      <Load of={keys}>
        {(page) => page.data.length === 0 ? <Empty title={t("keys.none")}><p>{t("keys.none_why")}</p></Empty> : (
          <Table
            caption={t("keys.title")}
            rows={page.data}
            id={(key) => key.id}
            columns={[
              { head: t("keys.key"), cell: (key) => <span class="row nowrap"><code>…{key.hint}</code>{key.adopted && <Badge>{t("keys.is_adopted")}</Badge>}</span> },
              { head: t("keys.note"), cell: (key) => key.note ?? "–" },
              { head: t("consumers.state"), cell: (key) => (key.status === "expired" ? <Badge kind="bad">{t("keys.expired")}</Badge> : <Badge kind="good">{t("consumers.active")}</Badge>), sort: (key) => key.status },
              { head: t("keys.expires"), cell: (key) => (key.expires_at ? <span title={moment(key.expires_at)}>{ago(key.expires_at)}</span> : t("keys.never")), sort: (key) => key.expires_at ?? "9999" },
              { head: t("keys.last_used"), cell: (key) => (key.last_used_at === undefined ? "–" : key.last_used_at === null ? t("keys.unused") : moment(key.last_used_at)), sort: (key) => key.last_used_at ?? "" },
              { head: t("consumers.created_at"), cell: (key) => <span title={moment(key.created_at)}>{ago(key.created_at)} · {key.created_by}</span>, sort: (key) => key.created_at },
              {
                head: "",
                end: true,
                cell: (key) => (
                  <span class="row nowrap end">
                    <Button small kind="plain" need="editor" onClick={() => setOpen({ kind: "edit", of: key })}>{t("action.edit")}</Button>
                    <Button small kind="plain" need="editor" onClick={() => setOpen({ kind: "roll", of: key })}>{t("keys.roll")}</Button>
                    <Button small kind="danger" need="editor" onClick={() => setOpen({ kind: "revoke", of: key })}>{t("keys.revoke")}</Button>
                  </span>
                ),
              },
            ]}
          />
        )}
      </Load>
      {open?.kind === "new" && <NewKey consumer={consumer} onClose={close} onIssued={setIssued} />}
      {open?.kind === "roll" && open.of && <Roll consumer={consumer} of={open.of} onClose={close} onIssued={setIssued} />}
      {open?.kind === "edit" && open.of && <Expire consumer={consumer} of={open.of} onClose={close} />}
      {open?.kind === "revoke" && open.of && (
        <Confirm
          title={t("keys.revoke_title", { hint: open.of.hint })}
          action={t("keys.revoke")}
          onClose={close}
          onConfirm={async () => {
            await call("DELETE", `${path}/${escapePath(open.of?.id ?? "")}`);
            reload(path);
            toast(t("keys.revoked"));
            close();
          }}
        >
          <p>{t("keys.revoke_about")}</p>
        </Confirm>
      )}
      {issued && <Once issued={issued} consumer={consumer} onClose={() => setIssued(null)} />}
    </Panel>
  );
}
