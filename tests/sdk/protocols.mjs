// Tests the gateway with clients of Messages and Responses for Node: the official packages, the AI SDK, and
// OpenAI's Agents SDK with their defaults. Arguments: the gateway's base URL and a key. Prints one line per check
// and exits with 1 at the first failure.

import Anthropic from "@anthropic-ai/sdk";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { Agent, run, setTracingDisabled, tool as agentTool } from "@openai/agents";
import { generateText, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import { z } from "zod";

const [baseURL, apiKey] = process.argv.slice(2);
const answer = "Hello there my friend";
const models = ["chat", "messages", "responses"];
const messages = [{ role: "user", content: "Hello?" }];

function check(name, condition, actual) {
  if (!condition) {
    console.log(`failed: ${name}: ${JSON.stringify(actual)}`);
    process.exit(1);
  }
  console.log(`ok: ${name}`);
}

const anthropic = new Anthropic({ baseURL: baseURL.replace(/\/v1$/, ""), apiKey, maxRetries: 0, timeout: 15_000 });
const openai = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 15_000 });
for (const model of models) {
  const message = await anthropic.messages.create({ model, max_tokens: 50, messages });
  check(`messages of ${model}`, message.content.at(-1).text === answer, message);
  const stream = anthropic.messages.stream({ model, max_tokens: 50, messages });
  const final = await stream.finalMessage();
  check(`message stream of ${model}`, final.content.at(-1).text === answer && final.usage.output_tokens === 4, final);
  const response = await openai.responses.create({ model, input: "Hello?" });
  check(`response of ${model}`, response.output_text === answer, response);
  const streamed = await openai.responses.stream({ model, input: "Hello?" }).finalResponse();
  check(`response stream of ${model}`, streamed.output_text === answer, streamed);
}

const schema = z.object({ city: z.string() });
const execute = async ({ city }) => `21 degrees in ${city}`;
const tools = { get_weather: tool({ description: "Weather", inputSchema: schema, execute }) };
const stopWhen = stepCountIs(3);
for (const [name, provider] of [
  ["openai", createOpenAI({ baseURL, apiKey })],
  ["anthropic", createAnthropic({ baseURL, apiKey })],
]) {
  for (const model of models) {
    const prompt = "Weather in Paris?";
    const whole = await generateText({ model: provider(`${model}-tool`), prompt, tools, stopWhen, maxRetries: 0 });
    check(`AI SDK ${name} on ${model}`, whole.text === answer && whole.steps.length === 2, whole.text);
    const streamed = streamText({ model: provider(model), prompt, maxRetries: 0 });
    check(`AI SDK ${name} stream on ${model}`, (await streamed.text) === answer, await streamed.text);
  }
}

process.env.OPENAI_BASE_URL = baseURL;
process.env.OPENAI_API_KEY = apiKey;
setTracingDisabled(true);
const weather = agentTool({ name: "get_weather", description: "Weather", parameters: schema, execute });
for (const model of models) {
  const agent = new Agent({ name: "weather", instructions: "Use the tool.", tools: [weather], model: `${model}-tool` });
  const result = await run(agent, "Weather in Paris?");
  check(`OpenAI Agents on ${model}`, result.finalOutput === answer, result.finalOutput);
}
