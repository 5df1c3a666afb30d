// Guards: what is checked, a text to try, and the log of verdicts.

import { useState } from "preact/hooks";

import { href, param, setQuery } from "../app/router";
import { call, escapePath, get, withQuery } from "../data/client";
import type { components } from "../data/api";
import type { Document, Guard } from "../data/document";
import { reload, useResource, type Page } from "../data/resource";
import type { GuardCheck } from "../data/shapes";
import { useAttempt } from "../kit/attempt";
import { Button, Segments, SelectField, TextField } from "../kit/controls";
import { toast } from "../kit/dialog";
import { requestPath } from "../kit/facts";
import { count, dayTime } from "../kit/format";
import { Badge, Empty, ErrorNotice, Head, Load, Meter, Notice, Panel, Tabs } from "../kit/layout";
import { Table } from "../kit/table";
import { t, type Key } from "../lang";
import { GuardForm } from "./guards/form";

type Verdict = components["schemas"]["Verdict"];

const resultKind = (result: string): "bad" | "warn" | undefined => (result === "block" ? "bad" : result === "mask" ? "warn" : undefined);
const resultName = (result: string): string => (["block", "mask", "error", "pass", "off"].includes(result) ? t(`verdict.${result}` as Key) : result);

function Try({ guards }: { guards: Guard[] }) {
  const [guard, setGuard] = useState(guards[0]?.id ?? "");
  const [phase, setPhase] = useState<"request" | "response">("request");
  const [text, setText] = useState("");
  const [found, setFound] = useState<GuardCheck | null>(null);
  const { error, busy, attempt } = useAttempt();
  async function check(): Promise<void> {
    setFound(null);
    await attempt(async () => {
      setFound((await call<GuardCheck>("POST", `guards/${escapePath(guard)}/check`, { body: { text, phase } })).data);
    });
  }
  return (
    <Panel title={t("guards.try")} about={t("guards.try_about")}>
      <div class="stack">
        <div class="filters">
          <SelectField label={t("guards.guard")} value={guard} onChange={setGuard} choices={guards.map((one) => ({ value: one.id, label: one.id }))} />
          <Segments<"request" | "response"> label={t("guards.phase")} value={phase} onChange={setPhase} choices={[{ value: "request", label: t("guards.request") }, { value: "response", label: t("guards.response") }]} />
        </div>
        <TextField label={t("guards.text")} rows={3} value={text} onInput={setText} placeholder={t("guards.text_example")} />
        <div><Button need="editor" busy={busy} disabled={text.trim() === ""} reason={t("guards.text_first")} onClick={() => void check()}>{t("guards.check_now")}</Button></div>
        <div aria-live="polite">
          {error && <ErrorNotice error={error} />}
          {found && (
            <Notice kind={found.result === "block" ? "bad" : found.result === "mask" || found.result === "error" ? "warn" : "good"}>
              <strong>{resultName(found.result)}</strong>
              {found.findings.length > 0 && <span class="tags">{found.findings.map((finding, index) => <span key={index} class="tag">{finding.label} · {finding.level}</span>)}</span>}
              {found.masked && <q>{found.masked}</q>}
              {found.error && <span>{found.error}</span>}
            </Notice>
          )}
        </div>
      </div>
    </Panel>
  );
}

function Words({ list }: { list: string }) {
  const path = `words/${escapePath(list)}`;
  const words = useResource<{ count: number; words: string[] }>(path);
  const [text, setText] = useState<string | null>(null);
  const { error, busy, attempt } = useAttempt();
  async function save(): Promise<void> {
    await attempt(async () => {
      await call("PUT", path, { body: { words: (text ?? "").split("\n").map((word) => word.trim()).filter(Boolean) } });
      reload(path);
      setText(null);
      toast(t("guards.words_saved"));
    });
  }
  const stored = words.data?.words.join("\n") ?? "";
  const isMissing = words.error?.status === 404;
  return (
    <Panel title={t("guards.words", { list })} about={words.data ? t("guards.word_count", { n: words.data.count }) : undefined}>
      <div class="stack">
        {(error ?? (words.error && !isMissing ? words.error : null)) && <ErrorNotice error={(error ?? words.error)!} />}
        {isMissing && <Notice kind="warn">{t("guards.words_missing")}</Notice>}
        <TextField label={t("guards.one_a_line")} hint={t("guards.words_hint")} rows={8} mono value={text ?? stored} onInput={setText} />
        <div class="row">
          <Button kind="primary" need="editor" busy={busy} disabled={text === null || text === stored} reason={t("canary.unchanged")} onClick={() => void save()}>{t("action.save")}</Button>
          {text !== null && <Button onClick={() => setText(null)}>{t("canary.reset")}</Button>}
        </div>
      </div>
    </Panel>
  );
}

type Count = components["schemas"]["VerdictCount"];

function Summary() {
  const counts = useResource<Page<Count>>("verdicts/summary", { every: 30_000 });
  return (
    <Panel title={t("guards.findings")} about={counts.data?.cursor ? t("guards.findings_many") : t("guards.findings_about")} flush>
      <Load of={counts}>
        {({ data: findings }) => {
          const most = Math.max(1, ...findings.map((row) => row.count));
          return findings.length === 0 ? <Empty title={t("guards.no_findings")} /> : (
            <Table caption={t("guards.findings")} rows={findings} id={(row) => [row.guard, row.label, row.result, row.consumer].join(" ")} columns={[
              { head: t("guards.guard"), cell: (row) => row.guard },
              { head: t("guards.label"), cell: (row) => (row.label ? <span class="tag">{row.label}</span> : "–") },
              { head: t("guards.result"), cell: (row) => <Badge kind={resultKind(row.result)}>{resultName(row.result)}</Badge> },
              { head: t("requests.consumer"), cell: (row) => row.consumer || "–" },
              { head: t("guards.count"), cell: (row) => <Meter share={row.count / most} kind="var(--s4)" label={count(row.count)} />, sort: (row) => row.count },
            ]} />
          );
        }}
      </Load>
    </Panel>
  );
}

function Guards({ document, etag }: { document: Document; etag: string | null }) {
  const guards = document.guards ?? [];
  const [open, setOpen] = useState<{ guard?: Guard } | null>(null);
  const lists = [...new Set(guards.map((guard) => guard.list).filter((list): list is string => typeof list === "string"))];
  return (
    <>
      <Panel title={t("guards.all", { n: guards.length })} flush actions={<Button small icon="plus" need="owner" onClick={() => setOpen({})}>{t("guards.add")}</Button>}>
        {guards.length === 0 ? <Empty title={t("guards.none")}><p>{t("guards.none_why")} <a href={href("configuration")}>{t("nav.config")}</a></p></Empty> : (
          <Table caption={t("nav.guards")} rows={guards} id={(guard) => guard.id} columns={[
            { head: t("guards.guard"), cell: (guard) => <strong>{guard.id}</strong> },
            { head: t("guards.kind"), cell: (guard) => guard.kind },
            { head: t("guards.check"), cell: (guard) => (guard.check ?? ["request", "response"]).map((phase) => (phase === "request" ? t("guards.request") : t("guards.response"))).join(" + ") },
            { head: t("consumers.routes"), cell: (guard) => guard.routes?.join(", ") ?? t("limits.everywhere") },
            { head: t("guards.verdicts"), cell: (guard) => <a href={href(`guards?tab=verdicts&guard=${encodeURIComponent(guard.id)}`)}>{t("guards.see_verdicts")}</a> },
            { head: "", end: true, cell: (guard) => <Button small kind="plain" need="owner" onClick={() => setOpen({ guard })}>{t("action.edit")}</Button> },
          ]} />
        )}
      </Panel>
      {guards.length > 0 && <div class="grid two"><Try guards={guards} /><Summary /></div>}
      {lists.map((list) => <Words key={list} list={list} />)}
      {open && <GuardForm document={document} etag={etag} guard={open.guard} onClose={() => setOpen(null)} />}
    </>
  );
}

function Verdicts({ guards }: { guards: Guard[] }) {
  const filters = { guard: param("guard"), result: param("result"), consumer: param("consumer"), label: param("label") };
  const path = withQuery("verdicts", { limit: 100, ...filters });
  const verdicts = useResource<Page<Verdict>>(path, { every: 15_000 });
  const [more, setMore] = useState<{ of: string; rows: Verdict[]; cursor: string | null } | null>(null);
  const further = more?.of === path ? more : null;
  const cursor = further ? further.cursor : verdicts.data?.cursor;
  async function readMore(): Promise<void> {
    const page = await get<Page<Verdict>>(withQuery("verdicts", { limit: 100, ...filters, cursor }));
    setMore({ of: path, rows: [...(further?.rows ?? []), ...page.data], cursor: page.cursor });
  }
  return (
    <>
      <div class="filters">
        <SelectField label={t("guards.guard")} value={filters.guard} onChange={(guard) => setQuery({ guard })} choices={[{ value: "", label: t("filter.all") }, ...guards.map((guard) => ({ value: guard.id, label: guard.id }))]} />
        <SelectField label={t("guards.result")} value={filters.result} onChange={(result) => setQuery({ result })} choices={[{ value: "", label: t("filter.all") }, ...["block", "mask", "error"].map((value) => ({ value, label: resultName(value) }))]} />
        <TextField label={t("guards.label")} value={filters.label} onInput={(label) => setQuery({ label })} />
        <TextField label={t("requests.consumer")} type="search" value={filters.consumer} onInput={(consumer) => setQuery({ consumer })} />
      </div>
      <Panel flush footer={cursor ? <Button small onClick={() => void readMore()}>{t("action.more", { n: 100 })}</Button> : undefined}>
        <Load of={verdicts}>
          {(page) => {
            const rows = [...page.data, ...(further?.rows ?? [])];
            return rows.length === 0 ? <Empty title={t("guards.no_verdicts")}><p>{t("guards.no_verdicts_why")}</p></Empty> : (
              <Table caption={t("guards.verdicts")} rows={rows} id={(row) => row.id} columns={[
                { head: t("time.time"), cell: (row) => dayTime(row.at) },
                { head: t("guards.result"), cell: (row) => <Badge kind={resultKind(row.result)}>{resultName(row.result)}</Badge> },
                { head: t("guards.guard"), cell: (row) => row.guard },
                { head: t("guards.label"), cell: (row) => (row.label ? <span class="tag">{row.label}</span> : "–") },
                { head: t("guards.level"), cell: (row) => row.level },
                { head: t("guards.phase"), cell: (row) => (row.phase === "request" ? t("guards.request") : t("guards.response")) },
                { head: t("requests.consumer"), cell: (row) => <a href={href(`consumers/${encodeURIComponent(row.consumer)}`)}>{row.consumer}</a> },
                { head: t("requests.request"), cell: (row) => <a class="mono small" href={href(requestPath({ id: row.request_id, at_ms: Date.parse(row.at) }))}>{row.request_id.slice(0, 14)}</a> },
                { head: t("guards.content"), wrap: true, cell: (row) => row.content ?? <span class="muted">{t("guards.not_kept")}</span> },
              ]} />
            );
          }}
        </Load>
      </Panel>
    </>
  );
}

export function View() {
  const config = useResource<Document>("config");
  const tab = param("tab", "guards");
  return (
    <>
      <Head title={t("nav.guards")} about={t("guards.about")} />
      <Tabs tabs={[{ id: "guards", label: t("nav.guards") }, { id: "verdicts", label: t("guards.verdicts") }]} />
      <Load of={config}>{(document) => (tab === "verdicts" ? <Verdicts guards={document.guards ?? []} /> : <Guards document={document} etag={config.etag} />)}</Load>
    </>
  );
}
