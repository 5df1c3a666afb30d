"""Tests the gateway with the official `openai` package for Python.

Arguments: the gateway's base URL and a key. Prints one line per check and exits with 1 at the first failure.
"""

import sys

import openai

BASE_URL, KEY = sys.argv[1:3]
QUESTION = [{"role": "user", "content": "Hello?"}]


def check(name, condition, actual):
    if not condition:
        print(f"failed: {name}: {actual!r}")
        sys.exit(1)
    print(f"ok: {name}")


with openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=15) as client:
    answer = client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    check("chat", answer.choices[0].message.content == "Hello there my friend", answer)
    check("usage", (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (9, 4), answer.usage)

    chunks = list(client.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    check("stream", text == "Hello there my friend", text)
    check("stream hides usage", all(chunk.usage is None for chunk in chunks), chunks[-1])

    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True, stream_options=options))
    check("stream shows usage", chunks[-1].usage.completion_tokens == 4, chunks[-1])

    answer = client.completions.create(model="gpt-4o", prompt="Hello?")
    check("completions", answer.choices[0].text == "Hello there my friend", answer)

    vectors = client.embeddings.create(model="text-embedding-3-small", input=["a"], encoding_format="float")
    check("embeddings", vectors.data[0].embedding == [0.25, -0.5], vectors)

    models = [model.id for model in client.models.list()]
    check("models", models == ["gpt-4o", "text-embedding-3-small", "broken"], models)

    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=QUESTION)
    check("headers", raw.headers["x-serin-target"] == "openai/gpt-4o", dict(raw.headers))

    try:
        chunks = []
        for chunk in client.chat.completions.create(model="broken", messages=QUESTION, stream=True):
            chunks.append(chunk)
        check("cut stream raises an error", False, chunks)
    except openai.APIError as error:
        check("cut stream raises an error", error.code == "upstream_error" and chunks, error)

    for name, kind, call in [
        ("wrong key", openai.AuthenticationError, lambda: openai.OpenAI(base_url=BASE_URL, api_key="wrong", max_retries=0).models.list()),
        ("unknown model", openai.NotFoundError, lambda: client.chat.completions.create(model="unknown", messages=QUESTION)),
        ("bad request", openai.BadRequestError, lambda: client.chat.completions.create(model="gpt-4o", messages="hi")),
    ]:
        try:
            check(name, False, call())
        except kind as error:
            check(name, error.code in ("invalid_api_key", "model_not_found", "invalid_request"), error)
