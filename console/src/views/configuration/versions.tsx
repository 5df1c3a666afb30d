// Versions: the list, the difference between two, restore.

import { useState } from "preact/hooks";

import { param, setQuery } from "../../app/router";
import { ApiError, call, get, withQuery } from "../../data/client";
import type { Change, Version } from "../../data/document";
import { reload, useResource, type Page } from "../../data/resource";
import { Button, TextField } from "../../kit/controls";
import { Dialog, toast } from "../../kit/dialog";
import { ago, moment } from "../../kit/format";
import { Badge, Empty, ErrorNotice, Load, Panel } from "../../kit/layout";
import { ChangeList } from "../../kit/publish";
import { Table } from "../../kit/table";
import { t } from "../../lang";

type Changes = Change["changes"];

function Difference({ from, to }: { from: number; to: number }) {
  const diff = useResource<{ changes: Changes }>(from === to ? null : `config/versions/${from}/diff/${to}`);
  if (from === to) return <p class="muted">{t("publish.no_change")}</p>;
  return <Load of={diff}>{(data) => <ChangeList changes={data.changes} />}</Load>;
}

function Restore({ version, current, etag, onClose }: { version: Version; current: Version | undefined; etag: string | null; onClose: () => void }) {
  const [note, setNote] = useState(t("config.restore_note", { version: version.version }));
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const [tag, setTag] = useState(etag);
  async function restore(): Promise<void> {
    setBusy(true);
    setError(null);
    try {
      const { data } = await call<Change>("POST", withQuery(`config/versions/${version.version}/restore`, { note }), { headers: { "if-match": tag ?? "*" } });
      reload("config");
      toast(t("publish.done", { version: data.version }));
      onClose();
    } catch (failure) {
      const known = ApiError.of(failure);
      // Somebody was faster: the newer version is the one to replace from here on, after another look.
      if (known.status === 412) setTag((await get<Page<Version>>("config/versions?limit=1")).data[0]?.etag ?? tag);
      setError(known);
    }
    setBusy(false);
  }
  return (
    <Dialog title={t("config.restore_title", { version: version.version })} onClose={onClose} footer={<><Button onClick={onClose}>{t("action.cancel")}</Button><Button kind="primary" need="owner" busy={busy} onClick={() => void restore()}>{t("config.restore")}</Button></>}>
      <p>{t("config.restore_about")}</p>
      {error && <ErrorNotice error={error} />}
      {error?.problems.length ? <ul class="changes">{error.problems.map((problem) => <li key={problem.path}><span class="path">{problem.path}</span>{t("publish.problem", { found: problem.found, expected: problem.expected })}</li>)}</ul> : null}
      {current && <Difference from={current.version} to={version.version} />}
      <TextField label={t("publish.note")} value={note} onInput={setNote} />
    </Dialog>
  );
}

export function Versions({ etag }: { etag: string | null }) {
  const versions = useResource<Page<Version>>("config/versions?limit=100", { every: 30_000 });
  const [restoring, setRestoring] = useState<Version | null>(null);
  return (
    <Load of={versions}>
      {(page) => {
        const current = page.data[0];
        const shown = Number(param("version", String(current?.version ?? 0)));
        const against = Number(param("against", String(Math.max(0, shown - 1))));
        const one = page.data.find((version) => version.version === shown);
        const number = (version: Version): string => (version.version === 0 ? t("config.deployed") : String(version.version));
        return (
          <div class="grid two">
            <Panel title={t("config.versions")} about={t("config.versions_about")} flush>
              {page.data.length === 0 ? <Empty title={t("config.no_versions")} /> : (
                <Table
                  caption={t("config.versions")}
                  rows={page.data}
                  id={(version) => String(version.version)}
                  selected={String(shown)}
                  onOpen={(version) => setQuery({ version: String(version.version), against: null })}
                  columns={[
                    { head: t("config.version"), cell: (version) => <button type="button" class="link" onClick={() => setQuery({ version: String(version.version), against: null })}>{number(version)}</button> },
                    { head: t("config.note"), wrap: true, cell: (version) => <>{version.note ?? <span class="muted">–</span>} {version.in_force && <Badge kind="good">{t("config.in_force")}</Badge>} {version.in_force && version.served === false && <Badge kind="warn">{t("config.not_served")}</Badge>}</> },
                    { head: t("config.by"), cell: (version) => version.created_by ?? "–" },
                    { head: t("config.at"), cell: (version) => <span title={moment(version.created_at)}>{ago(version.created_at)}</span> },
                  ]}
                />
              )}
            </Panel>
            <Panel
              title={t("config.compare", { from: against === 0 ? t("config.deployed") : against, to: shown === 0 ? t("config.deployed") : shown })}
              about={one && `${moment(one.created_at)} · ${one.created_by ?? "–"}`}
              actions={one && !one.in_force && <Button small need="owner" onClick={() => setRestoring(one)}>{t("config.restore")}</Button>}
            >
              <div class="stack">
                <div class="filters">
                  <div class="field">
                    <label for="against">{t("config.against")}</label>
                    <select id="against" value={String(against)} onChange={(event) => setQuery({ version: String(shown), against: event.currentTarget.value })}>
                      {page.data.map((version) => <option key={version.version} value={String(version.version)}>{number(version)}{version.in_force ? ` · ${t("config.in_force")}` : ""}</option>)}
                    </select>
                  </div>
                </div>
                <Difference from={against} to={shown} />
              </div>
            </Panel>
            {restoring && <Restore version={restoring} current={current} etag={etag} onClose={() => setRestoring(null)} />}
          </div>
        );
      }}
    </Load>
  );
}
