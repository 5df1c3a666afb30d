// Welcome: three steps to a first answer, and how to call this gateway.

import { useState } from "preact/hooks";

import { href } from "../app/router";
import type { Document } from "../data/document";
import { useResource, type Page } from "../data/resource";
import { readUsage, totals, usagePath, type Usage } from "../data/usage";
import { Copy, Segments, SelectField } from "../kit/controls";
import { count } from "../kit/format";
import { Icon } from "../kit/icons";
import { Badge, Head, Notice, Panel } from "../kit/layout";
import { t } from "../lang";

const KEY = "sk-serin-…";
type Client = "curl" | "python" | "node" | "spring" | "claude" | "codex";

function snippet(client: Client, model: string): string {
  const base = `${window.location.origin}/v1`;
  switch (client) {
    case "curl":
      return `curl ${base}/chat/completions \\\n  -H "authorization: Bearer ${KEY}" \\\n  -H "content-type: application/json" \\\n  -d '{"model":"${model}","messages":[{"role":"user","content":"Hello"}]}'`;
    case "python":
      return `from openai import OpenAI\n\nclient = OpenAI(base_url="${base}", api_key="${KEY}")\nanswer = client.chat.completions.create(\n    model="${model}",\n    messages=[{"role": "user", "content": "Hello"}],\n)\nprint(answer.choices[0].message.content)`;
    case "node":
      return `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${base}", apiKey: "${KEY}" });\nconst answer = await client.chat.completions.create({\n  model: "${model}",\n  messages: [{ role: "user", content: "Hello" }],\n});\nconsole.log(answer.choices[0].message.content);`;
    case "spring":
      return `spring.ai.openai.base-url=${window.location.origin}\nspring.ai.openai.api-key=${KEY}\nspring.ai.openai.chat.options.model=${model}`;
    case "claude":
      return `export ANTHROPIC_BASE_URL=${window.location.origin}\nexport ANTHROPIC_AUTH_TOKEN=${KEY}\nclaude --model ${model}`;
    case "codex":
      return `# ~/.codex/config.toml\nmodel = "${model}"\nmodel_provider = "serin"\n\n[model_providers.serin]\nname = "serin"\nbase_url = "${base}"\nenv_key = "SERIN_KEY"`;
  }
}

function Step({ n, title, about, isDone, to, action }: { n: number; title: string; about: string; isDone: boolean; to: string; action: string }) {
  return (
    <li class={isDone ? "step done" : "step"}>
      <span class="step-mark">{isDone ? <Icon name="check" /> : n}</span>
      <div class="grow"><h2>{title}{isDone && <> <Badge kind="good">{t("welcome.done")}</Badge></>}</h2><p class="muted">{about}</p></div>
      <a class={isDone ? "button" : "button primary"} href={href(to)}>{action}</a>
    </li>
  );
}

export function View() {
  const config = useResource<Document>("config", { every: 10_000 });
  const consumers = useResource<Page<{ id: string }>>("consumers?limit=1");
  const to = Math.ceil(Date.now() / 3_600_000) * 3600;
  const usage = useResource<Usage>(usagePath({ from: to - 86_400, to }, "total", []), { every: 3000, reader: readUsage });
  const [client, setClient] = useState<Client>("curl");
  const document = config.data;
  const models = [...new Set((document?.routes ?? []).flatMap((route) => route.models).filter((model) => !model.startsWith("~") && !model.endsWith("*")))];
  const [chosen, setModel] = useState("");
  const model = chosen || models[0] || "gpt-4o";
  const requests = totals(usage.data?.data ?? []).requests;
  const text = snippet(client, model);
  return (
    <>
      <Head title={t("welcome.title")} about={t("welcome.about")} />
      {requests > 0 ? <Notice kind="good"><span>{t("welcome.first", { n: requests, count: count(requests) })} <a href={href("overview")}>{t("nav.overview")}</a></span></Notice> : <Notice kind="info">{t("welcome.waiting")}</Notice>}
      <ol class="welcome">
        <Step n={1} title={t("welcome.provider")} about={t("welcome.provider_about")} isDone={(document?.providers ?? []).length > 0} to="providers" action={t("welcome.provider_do")} />
        <Step n={2} title={t("welcome.route")} about={t("welcome.route_about")} isDone={(document?.routes ?? []).length > 0} to="routes" action={t("welcome.route_do")} />
        <Step n={3} title={t("welcome.key")} about={t("welcome.key_about")} isDone={(consumers.data?.data ?? []).length > 0} to={consumers.data?.data[0] ? `consumers/${encodeURIComponent(consumers.data.data[0].id)}` : "consumers"} action={t("welcome.key_do")} />
        <Step n={4} title={t("welcome.ask")} about={t("welcome.ask_about")} isDone={requests > 0} to="playground" action={t("welcome.ask_do")} />
      </ol>
      <Panel title={t("welcome.call")} about={t("welcome.call_about")} actions={<Copy text={text} />}>
        <div class="stack">
          <div class="filters">
            <Segments<Client> label={t("welcome.client")} value={client} onChange={setClient} choices={[{ value: "curl", label: "curl" }, { value: "python", label: "Python" }, { value: "node", label: "Node" }, { value: "spring", label: "Spring AI" }, { value: "claude", label: "Claude Code" }, { value: "codex", label: "Codex" }]} />
            {models.length > 1 && <SelectField label={t("requests.model")} value={model} onChange={setModel} choices={models.map((value) => ({ value, label: value }))} />}
          </div>
          <pre class="code" tabIndex={0}>{text}</pre>
        </div>
      </Panel>
    </>
  );
}
