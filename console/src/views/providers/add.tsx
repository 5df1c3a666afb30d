// New provider: choose a kind, paste a key, test it, publish.

import { useState } from "preact/hooks";

import "./providers.css";

import { hasVault, may, session } from "../../app/session";
import { ApiError, call, escapePath, type Problem } from "../../data/client";
import { withField, type Document, type Provider } from "../../data/document";
import { reload, useResource, type Page } from "../../data/resource";
import type { Kind } from "../../data/shapes";
import { Button, Segments, TextField } from "../../kit/controls";
import { Dialog } from "../../kit/dialog";
import { ErrorNotice, Load, Notice, Panel, errorText } from "../../kit/layout";
import { Publish } from "../../kit/publish";
import { language, t } from "../../lang";
import { Test } from "./test";

type Place = "vault" | "secret" | "none";

const titleOf = (kind: Kind): string => kind.title[language.value];

/** Kind of every server with an OpenAI-compatible API, also for a gateway without a list of kinds. */
const OWN: Kind = { name: "openai-compatible", title: { en: "OpenAI-compatible server", zh: "OpenAI 兼容服务" }, base_url: null, needs_base_url: true, needs_account: false, takes_api_version: false, keyless: true, keys_url: null };

function Gallery({ onChoose }: { onChoose: (kind: Kind) => void }) {
  const kinds = useResource<Page<Kind>>("kinds");
  const [search, setSearch] = useState("");
  const shown = (all: Kind[]): Kind[] => all.filter((kind) => `${kind.name} ${titleOf(kind)}`.toLowerCase().includes(search.toLowerCase().trim()));
  const card = (kind: Kind) => (
    <button key={kind.name} type="button" class="card" onClick={() => onChoose(kind)}>
      <span class="letter" aria-hidden="true">{titleOf(kind).slice(0, 1)}</span>
      <span class="grow"><strong>{titleOf(kind)}</strong><span class="muted small">{kind.base_url?.replace(/^https?:\/\//, "").replace(/\/.*$/, "") ?? t("providers.own_address")}</span></span>
    </button>
  );
  return (
    <>
      <TextField label={t("providers.search")} type="search" value={search} onInput={setSearch} focus />
      {kinds.error?.isUnknownCall ? (
        <><Notice kind="info">{t("providers.no_kinds")}</Notice><div class="cards">{card(OWN)}</div></>
      ) : (
        <Load of={kinds}>{(page) => <div class="cards">{shown(page.data).map(card)}</div>}</Load>
      )}
    </>
  );
}

export function AddProvider({ document, etag, onClose, onDone }: { document: Document; etag: string | null; onClose: () => void; onDone: (id: string) => void }) {
  const [kind, setKind] = useState<Kind | null>(null);
  const [id, setId] = useState("");
  const [address, setAddress] = useState("");
  const [account, setAccount] = useState("");
  const [key, setKey] = useState("");
  const [name, setName] = useState("");
  const [place, setPlace] = useState<Place>(hasVault() ? "vault" : "secret");
  const [error, setError] = useState<ApiError | null>(null);
  const [problems, setProblems] = useState<Problem[]>([]);
  const [busy, setBusy] = useState(false);
  const [isTried, setTried] = useState(false);
  const [isPublishing, setPublishing] = useState(false);

  const taken = (document.providers ?? []).some((provider) => provider.id === id.trim());
  const needsAddress = kind?.needs_base_url ?? false;
  const secretName = (name || `${id.replace(/[^A-Za-z0-9]+/g, "_").toUpperCase()}_API_KEY`).trim();
  const vaultName = id.trim().toLowerCase();
  const reference = place === "vault" ? `vault:${vaultName}` : `secret:${secretName}`;
  const missing = {
    id: !/^[A-Za-z0-9._-]{1,100}$/.test(id.trim()) ? t("providers.id_rule") : taken ? t("form.taken") : undefined,
    address: needsAddress && !/^https?:\/\/.+/.test(address.trim()) ? t("providers.address_rule") : undefined,
    account: kind?.needs_account && account.trim() === "" ? t("form.required") : undefined,
    key: place === "vault" && key.trim() === "" ? t("providers.key_rule") : undefined,
  };

  function build(withKey: boolean): Provider {
    let provider: Provider = { id: id.trim() };
    provider = withField(provider, "kind", kind && kind.name !== id.trim() ? kind.name : undefined);
    provider = withField(provider, "base_url", address.trim());
    provider = withField(provider, "account", account.trim());
    return place === "none" || !withKey ? provider : withField(provider, "keys", [reference]);
  }

  function choose(next: Kind): void {
    setKind(next);
    const base = next.name === OWN.name ? "local" : next.name;
    const ids = new Set((document.providers ?? []).map((provider) => provider.id));
    let free = base;
    for (let n = 2; ids.has(free); n++) free = `${base}-${n}`;
    setId(free);
    if (next.keyless) setPlace("none");
  }

  /** Puts the key into the vault first: the document may only name keys that exist. */
  async function next(): Promise<void> {
    setTried(true);
    if (Object.values(missing).some(Boolean)) return;
    setBusy(true);
    setError(null);
    try {
      if (place === "vault") {
        await call("PUT", `vault/${escapePath(vaultName)}`, { body: { value: key.trim(), note: id.trim() } });
        reload("vault");
      }
      setPublishing(true);
    } catch (failure) {
      setError(failure instanceof ApiError ? failure : new ApiError(errorText(failure), 0, ""));
    }
    setBusy(false);
  }

  const of = (part: string): string | undefined => {
    const found = problems.find((problem) => problem.path.endsWith(part) || problem.path.includes(`.${part}`));
    return found && t("publish.problem", { found: found.found, expected: found.expected });
  };
  return (
    <>
      <Dialog
        kind="wide"
        title={kind ? t("providers.add_title", { kind: titleOf(kind) }) : t("providers.add")}
        onClose={onClose}
        footer={kind ? <><Button onClick={() => setKind(null)}>{t("action.back")}</Button><Button kind="primary" need="owner" busy={busy} onClick={() => void next()}>{t("action.review")}</Button></> : undefined}
      >
        {kind === null ? <Gallery onChoose={choose} /> : (
          <>
            {error && (error.code === "vault_key_missing" || error.isUnknownCall ? (
              <Notice kind="warn"><span>{t("providers.no_vault")}</span><span><Button small onClick={() => { setPlace("secret"); setError(null); }}>{t("providers.use_secret")}</Button></span></Notice>
            ) : <ErrorNotice error={error} />)}
            <div class="form">
              <TextField label={t("providers.id")} hint={t("providers.id_hint")} value={id} error={(isTried || taken ? missing.id : undefined) ?? of("id")} onInput={setId} />
              <TextField label={t("providers.address")} type="url" mono placeholder={kind.base_url ?? "https://llm.example.com/v1"} hint={needsAddress ? t("providers.address_hint") : t("providers.address_default")} value={address} error={(isTried ? missing.address : undefined) ?? of("base_url")} onInput={setAddress} />
              {kind.needs_account && <TextField label={t("providers.account")} hint={t("providers.account_hint")} value={account} error={(isTried ? missing.account : undefined) ?? of("account")} onInput={setAccount} />}
              <div class="field wide">
                <span class="legend">{t("providers.key_place")}</span>
                <div><Segments<Place> label={t("providers.key_place")} value={place} onChange={setPlace} choices={[...(hasVault() ? [{ value: "vault" as const, label: t("providers.place_vault") }] : []), { value: "secret", label: t("providers.place_secret") }, { value: "none", label: t("providers.place_none") }]} /></div>
                <p class="hint">{t(`providers.place_${place}_about`)}</p>
              </div>
              {place === "vault" && <TextField wide label={t("providers.api_key")} type="password" value={key} error={isTried ? missing.key : undefined} hint={kind.keys_url ? <>{t("providers.key_where")} <a href={kind.keys_url} target="_blank" rel="noreferrer">{kind.keys_url.replace(/^https:\/\//, "")}</a></> : t("providers.key_hint")} onInput={setKey} />}
              {place === "secret" && (
                <>
                  <TextField label={t("providers.secret_name")} mono value={name} placeholder={secretName} error={of("keys")} onInput={setName} />
                  <div class="field wide"><span class="legend">{t("providers.command")}</span><pre class="code">{session.value?.edge === "spin" ? `SPIN_VARIABLE_${secretName}=… spin up` : `npx wrangler secret put ${secretName}`}</pre></div>
                </>
              )}
            </div>
            {session.value?.edge === "spin" && address !== "" && <Notice kind="info">{t("providers.spin_hosts")}</Notice>}
            <Panel title={t("providers.test")} about={t("providers.test_first")}>
              {may("owner") ? <Test models={[]} body={() => ({ provider: build(place === "secret"), ...(place === "vault" && key !== "" ? { key: key.trim() } : {}) })} /> : <p class="muted">{t("error.role")}</p>}
            </Panel>
          </>
        )}
      </Dialog>
      {isPublishing && (
        <Publish
          title={t("providers.add_title", { kind: id })}
          basis={etag}
          note={`add provider ${id.trim()}`}
          edit={(before) => ({ ...before, providers: [...(before.providers ?? []), build(true)] })}
          onProblems={setProblems}
          onClose={() => setPublishing(false)}
          onDone={() => {
            setKey("");
            onClose();
            onDone(id.trim());
          }}
        />
      )}
    </>
  );
}
