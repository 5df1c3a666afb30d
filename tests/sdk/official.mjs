// Tests the gateway with the official `openai` package for Node. Arguments: the gateway's base URL and a
// key. Prints one line per check and exits with 1 at the first failure.

import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const messages = [{ role: "user", content: "Hello?" }];
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 15_000 });

function check(name, condition, actual) {
  if (!condition) {
    console.log(`failed: ${name}: ${JSON.stringify(actual)}`);
    process.exit(1);
  }
  console.log(`ok: ${name}`);
}

async function chunksOf(request) {
  const chunks = [];
  for await (const chunk of await client.chat.completions.create({ ...request, messages, stream: true })) {
    chunks.push(chunk);
  }
  return chunks;
}

async function refused(name, kind, code, call) {
  let actual;
  try {
    actual = await call();
  } catch (error) {
    check(name, error instanceof kind && error.code === code, `${error}`);
    return;
  }
  check(name, false, actual);
}

const answer = await client.chat.completions.create({ model: "gpt-4o", messages });
check("chat", answer.choices[0].message.content === "Hello there my friend", answer);
check("usage", answer.usage.prompt_tokens === 9 && answer.usage.completion_tokens === 4, answer.usage);

let chunks = await chunksOf({ model: "gpt-4o" });
const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
check("stream", text === "Hello there my friend", text);
check("stream hides usage", chunks.every((chunk) => !chunk.usage), chunks.at(-1));

chunks = await chunksOf({ model: "gpt-4o", stream_options: { include_usage: true } });
check("stream shows usage", chunks.at(-1).usage.completion_tokens === 4, chunks.at(-1));

const completion = await client.completions.create({ model: "gpt-4o", prompt: "Hello?" });
check("completions", completion.choices[0].text === "Hello there my friend", completion);

const vectors = await client.embeddings.create({ model: "text-embedding-3-small", input: ["a"], encoding_format: "float" });
check("embeddings", vectors.data[0].embedding.join() === "0.25,-0.5", vectors);

const models = [];
for await (const model of client.models.list()) models.push(model.id);
check("models", models.join() === "gpt-4o,text-embedding-3-small,broken", models);

const { response } = await client.chat.completions.create({ model: "gpt-4o", messages }).withResponse();
check("headers", response.headers.get("x-serin-target") === "openai/gpt-4o", [...response.headers]);

await refused("cut stream raises an error", OpenAI.APIError, "upstream_error", () => chunksOf({ model: "broken" }));
await refused("wrong key", OpenAI.AuthenticationError, "invalid_api_key", () =>
  new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list());
await refused("unknown model", OpenAI.NotFoundError, "model_not_found", () =>
  client.chat.completions.create({ model: "unknown", messages }));
await refused("bad request", OpenAI.BadRequestError, "invalid_request", () =>
  client.chat.completions.create({ model: "gpt-4o", messages: "hi" }));
