// One request: the attempts as a waterfall, its numbers, guards, headers, and texts where they are kept.

import { href } from "../../app/router";
import { escapePath, withQuery } from "../../data/client";
import { useResource } from "../../data/resource";
import type { Attempt, RequestDetail } from "../../data/shapes";
import { Copy } from "../../kit/controls";
import { Dialog } from "../../kit/dialog";
import { Flags, Outcome, TargetName, tokensPerSecond } from "../../kit/facts";
import { count, moment, money, ms } from "../../kit/format";
import { Badge, Load, Notice, colorOf } from "../../kit/layout";
import { t } from "../../lang";

export function Waterfall({ attempts, total, firstToken }: { attempts: Attempt[]; total: number; firstToken: number | null }) {
  const span = Math.max(1, total, ...attempts.map((attempt) => attempt.began_ms + attempt.ms));
  const at = (value: number): string => `${(value / span) * 100}%`;
  return (
    <ol class="waterfall">
      {attempts.map((attempt, index) => {
        const isGood = attempt.result === "answered";
        const color = isGood ? colorOf(attempt.target.split("/")[0] ?? "") : "var(--bad)";
        // The first token is that of the attempt that answered.
        const wait = isGood && firstToken !== null ? Math.max(0, Math.min(attempt.ms, firstToken - attempt.began_ms)) : 0;
        return (
          <li key={index} class="attempt">
            <div class="spread">
              <span class="row">
                <span class="muted">{index + 1}</span><TargetName name={attempt.target} />
                {isGood ? <Badge kind="good" icon="check">{t("outcome.answered")}</Badge> : <Badge kind="bad" icon="close">{attempt.result}{attempt.http_status ? ` ${attempt.http_status}` : ""}</Badge>}
                {attempt.part !== "whole" && <Badge>{t(`attempt.${attempt.part}`)}</Badge>}
                {attempt.key !== null && attempt.key > 0 && <Badge icon="key">{t("attempt.key", { n: attempt.key + 1 })}</Badge>}
              </span>
              <span class="small muted">{t("requests.after", { time: ms(attempt.began_ms) })} · {ms(attempt.ms)}{wait > 0 && ` · ${t("test.first", { time: ms(wait) })}`}</span>
            </div>
            <div class="track">
              {wait > 0 && <span class="wait" style={{ left: at(attempt.began_ms), width: at(wait), background: color }} />}
              <span style={{ left: at(attempt.began_ms + wait), width: at(attempt.ms - wait), background: color }} />
            </div>
            {attempt.detail && <span class="small">{attempt.detail}</span>}
          </li>
        );
      })}
    </ol>
  );
}

function Body({ of }: { of: RequestDetail }) {
  const speed = tokensPerSecond(of);
  return (
    <>
      <div class="row"><Outcome name={of.outcome} />{of.status !== null && <Badge>{of.status}</Badge>}<Flags of={of.flags} />{of.stream && <Badge>{t("requests.stream")}</Badge>}</div>
      {of.error && <Notice kind="bad">{of.error}</Notice>}
      <section class="stack">
        <h3>{t("requests.attempts")}</h3>
        {of.attempts.length === 0 ? <p class="muted">{t("requests.no_attempts")}</p> : <Waterfall attempts={of.attempts} total={of.total_ms} firstToken={of.first_token_ms} />}
      </section>
      <dl class="pairs">
        <dt>{t("time.time")}</dt><dd>{moment(of.at_ms)}</dd>
        <dt>{t("requests.consumer")}</dt><dd>{of.consumer ? <a href={href(`consumers/${encodeURIComponent(of.consumer)}`)}>{of.consumer}</a> : "–"}{of.group && <> <span class="tag">{of.group}</span></>}{of.key && <> <code>{of.key}</code></>}</dd>
        <dt>{t("routes.route")}</dt><dd>{of.route ? <a href={href(`routes/${encodeURIComponent(of.route)}`)}>{of.route}</a> : "–"}</dd>
        <dt>{t("requests.model")}</dt><dd>{of.model ?? "–"}</dd>
        <dt>{t("requests.tokens")}</dt><dd>{count(of.input_tokens)} → {count(of.output_tokens)}{speed !== null && ` · ${speed.toFixed(0)} ${t("requests.per_second")}`}</dd>
        <dt>{t("requests.first_token")}</dt><dd>{ms(of.first_token_ms)}</dd>
        <dt>{t("requests.total")}</dt><dd>{ms(of.total_ms)}</dd>
        <dt>{t("requests.cost")}</dt><dd>{money(of.cost_usd)}</dd>
        {of.cache && <><dt>{t("nav.cache")}</dt><dd>{of.cache}</dd></>}
        {of.limit && <><dt>{t("limits.limit")}</dt><dd><a class="tag" href={href(`limits/${encodeURIComponent(of.limit)}`)}>{of.limit}</a></dd></>}
        {of.client && <><dt>{t("dimension.client")}</dt><dd>{of.client}</dd></>}
        {of.user && <><dt>{t("dimension.user")}</dt><dd>{of.user}</dd></>}
      </dl>
      {of.guards.length > 0 && (
        <section class="stack">
          <h3>{t("nav.guards")}</h3>
          <ul>{of.guards.map((guard, index) => <li key={index} class="row"><a href={href(`guards?tab=verdicts&guard=${encodeURIComponent(guard.guard)}`)}>{guard.guard}</a><Badge kind={guard.result === "block" ? "bad" : undefined}>{guard.result}</Badge><span class="tag">{guard.label}</span><span class="muted">{guard.phase}</span></li>)}</ul>
        </section>
      )}
      {of.prompt ? <section class="stack"><h3>{t("requests.prompt")}</h3><pre class="code texts">{of.prompt}</pre></section> : null}
      {of.answer ? <section class="stack"><h3>{t("requests.answer")}</h3><pre class="code texts">{of.answer}</pre></section> : null}
      {!of.prompt && !of.answer && <p class="hint">{t("requests.no_texts")}</p>}
    </>
  );
}

/** Drawer of one request. Its time, if known, spares the gateway a search. */
export function RequestDrawer({ id, at, onClose }: { id: string; at: string; onClose: () => void }) {
  const detail = useResource<RequestDetail>(withQuery(`requests/${escapePath(id)}`, { at }));
  return (
    <Dialog kind="drawer" title={<span class="row"><span>{t("requests.request")}</span><code>{id}</code><Copy text={id} /></span>} onClose={onClose}>
      {detail.error?.status === 404 && !detail.error.isUnknownCall ? <Notice kind="warn">{t("requests.gone")}</Notice> : <Load of={detail}>{(data) => <Body of={data} />}</Load>}
    </Dialog>
  );
}
