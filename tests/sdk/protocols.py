"""Tests the gateway with clients of Messages and Responses: the official packages, OpenAI's Agents SDK, Pydantic AI
with its defaults, and llm-comply.

Arguments: the gateway's base URL and a key. Each model speaks the protocol of its name at its provider. Prints one
line per check and exits with 1 at the first failure.
"""

import asyncio
import os
import sys

import anthropic
import openai

from comply import comply

BASE_URL, KEY = sys.argv[1:3]
ROOT = BASE_URL.removesuffix("/v1")
ANSWER = "Hello there my friend"
MODELS = ("chat", "messages", "responses")
QUESTION = [{"role": "user", "content": "Hello?"}]
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def check(name, condition, actual):
    if not condition:
        print(f"failed: {name}: {actual!r}")
        sys.exit(1)
    print(f"ok: {name}")


def messages(client):
    for model in MODELS:
        answer = client.messages.create(model=model, max_tokens=50, messages=QUESTION)
        check(f"messages of {model}", answer.content[-1].text == ANSWER, answer)
        check(f"usage of {model}", (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 4), answer.usage)
        with client.messages.stream(model=model, max_tokens=50, messages=QUESTION) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        check(f"message stream of {model}", text == ANSWER and final.stop_reason == "end_turn", final)
        check(f"streamed usage of {model}", final.usage.output_tokens == 4, final.usage)
        tools = [{"name": "get_weather", "input_schema": TOOL}]
        with client.messages.stream(model=f"{model}-tool", max_tokens=50, messages=QUESTION, tools=tools) as stream:
            call = stream.get_final_message().content[-1]
        check(f"message tool of {model}", (call.name, call.input) == ("get_weather", {"city": "Paris"}), call)
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}
        turns = [*QUESTION, {"role": "assistant", "content": [call.model_dump()]}, {"role": "user", "content": [result]}]
        answer = client.messages.create(model=f"{model}-tool", max_tokens=50, messages=turns, tools=tools)
        check(f"message tool result of {model}", answer.content[-1].text == ANSWER, answer)
    models = [model.id for model in client.models.list()]
    check("models of Anthropic's form", models[:3] == list(MODELS), models)
    count = client.messages.count_tokens(model="messages", messages=QUESTION)
    check("count of tokens", count.input_tokens == 9, count)
    for name, kind, call in [
        ("count without a counter", anthropic.NotFoundError, lambda: client.messages.count_tokens(model="chat", messages=QUESTION)),
        ("unknown model", anthropic.NotFoundError, lambda: client.messages.create(model="x", max_tokens=5, messages=QUESTION)),
        ("bad request", anthropic.BadRequestError, lambda: client.messages.create(model="chat", max_tokens=5, messages=7)),
    ]:
        try:
            check(name, False, call())
        except kind as error:
            check(name, error.body["type"] == "error" and error.request_id, error)
    try:
        with client.messages.stream(model="broken", max_tokens=50, messages=QUESTION) as stream:
            check("cut message stream raises an error", False, list(stream))
    except anthropic.APIStatusError as error:
        check("cut message stream raises an error", error.body["error"]["type"] == "api_error", error.body)


def responses(client):
    for model in MODELS:
        answer = client.responses.create(model=model, input="Hello?")
        check(f"response of {model}", answer.output_text == ANSWER and answer.status == "completed", answer)
        check(f"response usage of {model}", (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 4), answer.usage)
        with client.responses.stream(model=model, input="Hello?") as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            final = stream.get_final_response()
        check(f"response stream of {model}", text == ANSWER == final.output_text, final)
        tools = [{"type": "function", "name": "get_weather", "parameters": TOOL, "strict": False}]
        with client.responses.stream(model=f"{model}-tool", input="Hello?", tools=tools) as stream:
            call = stream.get_final_response().output[-1]
        check(f"response tool of {model}", (call.name, call.arguments) == ("get_weather", '{"city":"Paris"}'), call)
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}
        sent = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
        answer = client.responses.create(model=f"{model}-tool", input=[*QUESTION, sent, result], tools=tools)
        check(f"response tool result of {model}", answer.output_text == ANSWER, answer)
    try:
        check("untranslatable request", False, client.responses.create(model="chat", input="Hi", previous_response_id="resp_1"))
    except openai.BadRequestError as error:
        check("untranslatable request", (error.code, error.param) == ("untranslatable", "previous_response_id"), error)
    try:
        for _ in client.responses.create(model="broken", input="Hello?", stream=True):
            pass
        check("cut response stream raises an error", False, None)
    except openai.APIError as error:
        check("cut response stream raises an error", "upstream" in str(error), error)


def agents():
    from agents import Agent, Runner, function_tool, set_tracing_disabled

    set_tracing_disabled(True)

    @function_tool
    def get_weather(city: str) -> str:
        return f"21 degrees in {city}"

    for model in MODELS:
        agent = Agent(name="weather", instructions="Use the tool.", tools=[get_weather], model=f"{model}-tool")
        result = Runner.run_sync(agent, "Weather in Paris?")
        check(f"OpenAI Agents on {model}", result.final_output == ANSWER, result)


async def pydantic():
    from pydantic_ai import Agent

    for kind in ("openai", "anthropic"):
        for model in MODELS:
            agent = Agent(f"{kind}:{model}-tool")

            @agent.tool_plain
            def get_weather(city: str) -> str:
                return f"21 degrees in {city}"

            result = await agent.run("Weather in Paris?")
            check(f"Pydantic AI {kind} on {model}", result.output == ANSWER, result)


os.environ.update(OPENAI_BASE_URL=BASE_URL, OPENAI_API_KEY=KEY, ANTHROPIC_BASE_URL=ROOT, ANTHROPIC_API_KEY=KEY)
with anthropic.Anthropic(max_retries=0, timeout=15) as client:
    messages(client)
with openai.OpenAI(max_retries=0, timeout=15) as client:
    responses(client)
agents()
asyncio.run(pydantic())
comply(check, BASE_URL, KEY)
