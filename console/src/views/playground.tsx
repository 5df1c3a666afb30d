// Playground: a question through the gateway, as a consumer, with what happened on the way.

import { useEffect, useRef, useState } from "preact/hooks";

import "./requests/requests.css";

import { href } from "../app/router";
import { ApiError, failure, send } from "../data/client";
import type { Document } from "../data/document";
import { useResource, type Page } from "../data/resource";
import type { RequestDetail } from "../data/shapes";
import { Button, Copy, SelectField, TextField } from "../kit/controls";
import { Flags, Outcome, requestPath } from "../kit/facts";
import { count, money, ms } from "../kit/format";
import { Empty, ErrorNotice, Head, Notice, Panel, Tile, errorText } from "../kit/layout";
import { t } from "../lang";
import { Text } from "./playground/text";
import { events, type Chunk } from "./playground/stream";
import { Waterfall } from "./requests/detail";

interface Run {
  answer: string;
  reasoning: string;
  raw: string[];
  headers: [string, string][];
  record: RequestDetail | null;
  isRunning: boolean;
  error: ApiError | null;
  begin: number;
  firstAt: number | null;
  endAt: number | null;
}

const NONE: Run = { answer: "", reasoning: "", raw: [], headers: [], record: null, isRunning: false, error: null, begin: 0, firstAt: null, endAt: null };
/** Events that the page keeps for the raw view. */
const MAX_RAW = 400;
const MAX_ANSWER = 400_000;

interface Draft {
  consumer: string;
  model: string;
  system: string;
  question: string;
  temperature: string;
  maxTokens: string;
}

function bodyOf(draft: Draft): Record<string, unknown> {
  const messages = [...(draft.system.trim() ? [{ role: "system", content: draft.system }] : []), { role: "user", content: draft.question }];
  return {
    model: draft.model.trim(),
    messages,
    stream: true,
    stream_options: { include_usage: true },
    ...(draft.temperature !== "" ? { temperature: Number(draft.temperature) } : {}),
    ...(draft.maxTokens !== "" ? { max_tokens: Number(draft.maxTokens) } : {}),
  };
}

const curl = (draft: Draft): string =>
  `curl ${window.location.origin}/v1/chat/completions \\\n  -H "authorization: Bearer $SERIN_KEY" \\\n  -H "content-type: application/json" \\\n  -d '${JSON.stringify(bodyOf(draft)).replaceAll("'", String.raw`'\''`)}'`;

/** Sends the question and reports what arrives, at most once a frame. */
async function ask(draft: Draft, signal: AbortSignal, report: (run: Run) => void): Promise<void> {
  const run: Run = { ...NONE, isRunning: true, begin: performance.now() };
  let frame = 0;
  const show = (): void => {
    if (frame === 0) frame = requestAnimationFrame(() => { frame = 0; report({ ...run }); });
  };
  report({ ...run });
  try {
    const response = await send("POST", "try", { body: { consumer: draft.consumer || null, request: bodyOf(draft) }, signal });
    run.headers = [...response.headers].filter(([name]) => name.startsWith("x-"));
    if (!response.ok) throw await failure(response);
    for await (const event of events(response)) {
      if (run.raw.length < MAX_RAW) run.raw.push(event.name ? `event: ${event.name}\ndata: ${event.data}` : event.data);
      if (event.name === "serin") {
        run.record = JSON.parse(event.data) as RequestDetail;
      } else if (event.data !== "[DONE]") {
        const chunk = JSON.parse(event.data) as Chunk;
        if (chunk.error) throw new ApiError(chunk.error.message ?? "", response.status, chunk.error.code ?? "");
        const delta = chunk.choices?.[0]?.delta ?? chunk.choices?.[0]?.message;
        if (delta?.content || delta?.reasoning_content) run.firstAt ??= performance.now();
        run.reasoning += delta?.reasoning_content ?? "";
        if (run.answer.length < MAX_ANSWER) run.answer += delta?.content ?? "";
      }
      show();
    }
  } catch (error) {
    if (!signal.aborted) run.error = error instanceof ApiError ? error : new ApiError(errorText(error), 0, "");
  }
  run.isRunning = false;
  run.endAt = performance.now();
  cancelAnimationFrame(frame);
  report({ ...run });
}

function Result({ run }: { run: Run }) {
  const [tab, setTab] = useState<"answer" | "raw" | "headers">("answer");
  const record = run.record;
  if (run.begin === 0) return <Panel title={t("play.answer")}><Empty title={t("play.nothing")}><p>{t("play.nothing_why")}</p></Empty></Panel>;
  const first = record?.first_token_ms ?? (run.firstAt === null ? null : run.firstAt - run.begin);
  return (
    <>
      <Panel
        title={<span class="row">{t("play.answer")}{record && <Outcome name={record.outcome} />}{record && <Flags of={record.flags} />}</span>}
        actions={<div class="segments" role="group" aria-label={t("play.view")}>{(["answer", "raw", "headers"] as const).map((name) => <button key={name} type="button" aria-pressed={tab === name} onClick={() => setTab(name)}>{t(`play.${name}`)}</button>)}</div>}
      >
        {run.error && <ErrorNotice error={run.error} />}
        {tab === "answer" && (
          <div class="stack" aria-live="polite" aria-busy={run.isRunning}>
            {run.reasoning && <details><summary>{t("play.reasoning")}</summary><Text of={run.reasoning} /></details>}
            {run.answer ? <Text of={run.answer} /> : run.isRunning ? <p class="muted">{t("play.waiting")}</p> : null}
          </div>
        )}
        {tab === "raw" && <pre class="code texts">{run.raw.join("\n\n")}</pre>}
        {tab === "headers" && <pre class="code">{run.headers.map(([name, value]) => `${name}: ${value}`).join("\n")}</pre>}
      </Panel>
      <div class="tiles">
        <Tile name={t("requests.first_token")} value={ms(first)} />
        <Tile name={t("requests.total")} value={ms(record?.total_ms ?? (run.endAt === null ? null : run.endAt - run.begin))} />
        <Tile name={t("requests.tokens")} value={record ? `${count(record.input_tokens)} → ${count(record.output_tokens)}` : "–"} />
        <Tile name={t("requests.cost")} value={money(record?.cost_usd)} />
      </div>
      {record && (
        <Panel title={t("requests.attempts")} about={<a href={href(requestPath(record))}>{t("play.see_request")}</a>}>
          {record.attempts.length > 0 ? <Waterfall attempts={record.attempts} total={record.total_ms} firstToken={record.first_token_ms} /> : <p class="muted">{t("requests.no_attempts")}</p>}
        </Panel>
      )}
    </>
  );
}

export function View() {
  const config = useResource<Document>("config");
  const consumers = useResource<Page<{ id: string }>>("consumers?limit=200");
  const models = [...new Set((config.data?.routes ?? []).flatMap((route) => route.models).filter((model) => !model.startsWith("~") && !model.endsWith("*")))];
  const [draft, setDraft] = useState<Draft>({ consumer: "", model: "", system: "", question: "", temperature: "", maxTokens: ""  });
  const [run, setRun] = useState<Run>(NONE);
  const [isTried, setTried] = useState(false);
  const running = useRef<AbortController | null>(null);
  const change = (part: Partial<Draft>): void => setDraft((before) => ({ ...before, ...part }));
  const first = models[0];
  const ids = (consumers.data?.data ?? []).map((consumer) => consumer.id);
  const firstConsumer = ids[0];
  useEffect(() => { if (first && draft.model === "") change({ model: first }); }, [first]);
  useEffect(() => { if (firstConsumer && draft.consumer === "") change({ consumer: firstConsumer }); }, [firstConsumer]);
  useEffect(() => () => running.current?.abort(), []);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setTried(true);
    if (draft.question.trim() === "" || draft.model.trim() === "") return;
    running.current?.abort();
    const stop = new AbortController();
    running.current = stop;
    await ask(draft, stop.signal, (next) => { if (running.current === stop) setRun(next); });
  }
  return (
    <>
      <Head title={t("nav.playground")} about={t("play.about")}><Copy text={curl(draft)} label={t("play.curl")} /></Head>
      {run.error?.isUnknownCall && <Notice kind="info">{t("play.no_try")}</Notice>}
      <div class="grid two play">
        <Panel title={t("play.question")}>
          <form class="stack" onSubmit={(event) => void submit(event)}>
            <div class="form">
              <TextField label={t("requests.model")} value={draft.model} list={models} error={isTried && draft.model.trim() === "" ? t("form.required") : undefined} onInput={(model) => change({ model })} />
              <SelectField label={t("play.as")} value={draft.consumer} onChange={(consumer) => change({ consumer })} choices={ids.map((id) => ({ value: id, label: id }))} />
              <TextField wide label={t("play.system")} rows={2} value={draft.system} onInput={(system) => change({ system })} />
              <TextField wide label={t("play.user")} rows={5} value={draft.question} placeholder={t("play.example")} error={isTried && draft.question.trim() === "" ? t("form.required") : undefined} onInput={(question) => change({ question })} />
              <TextField label={t("play.temperature")} type="number" min={0} max={2} step={0.1} value={draft.temperature} placeholder={t("play.default")} onInput={(temperature) => change({ temperature })} />
              <TextField label={t("play.max_tokens")} type="number" min={1} value={draft.maxTokens} placeholder={t("play.default")} onInput={(maxTokens) => change({ maxTokens })} />
            </div>
            <p class="hint">{t("play.charge")}</p>
            <div class="row">
              <Button type="submit" kind="primary" icon="play" need="editor" busy={run.isRunning}>{t("play.send")}</Button>
              {run.isRunning && <Button icon="stop" onClick={() => running.current?.abort()}>{t("play.stop")}</Button>}
            </div>
          </form>
        </Panel>
        <div class="stack"><Result run={run} /></div>
      </div>
    </>
  );
}
