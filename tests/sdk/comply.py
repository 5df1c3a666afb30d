"""Runs llm-comply, which checks answers against the official OpenAPI documents, where the gateway writes the answer:
in front of a provider of another protocol.
"""

import json
import subprocess
import sys
from pathlib import Path

# Form of the answers, and the models whose providers do not speak it.
FORMS = {"openai-chat": ("messages", "responses"), "open-responses": ("chat", "messages"), "anthropic": ("chat", "responses")}
# Calls of a tool have models of their own. The provider of the tests sees no images and has no thoughts, and no
# translation compacts a conversation.
LEFT_OUT = ("tool-calling", "image", "thinking", "reasoning", "compact")


def names(form):
    """Names of the tests of a form."""
    listed = run("--format", form, "--list").stdout
    words = [line.split() for line in listed.splitlines() if line.startswith("  ") and not line.startswith("   ")]
    return [line[0] for line in words if line]


def run(*arguments):
    program = Path(sys.executable).parent / "llm-comply"
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)


def comply(check, base_url, key, forms=FORMS):
    for form, models in forms.items():
        known = names(form)
        usual = [name for name in known if not any(part in name for part in LEFT_OUT)]
        tools = [name for name in known if "tool-calling" in name]
        check(f"tests of {form}", len(usual) >= 6 and len(tools) == 1, known)
        for model in models:
            tool_model = f"{model}-tool"
            # Such a model answers every second call, which the last test takes.
            for tests, target in ((usual, model), (tools, tool_model), (usual[:1], tool_model)):
                output = run("--format", form, "-u", base_url, "-k", key, "-m", target, "-f", ",".join(tests), "--json")
                failed = [one for one in json.loads(output.stdout)["results"] if one["status"] == "failed"]
                check(f"llm-comply {form} of {target}", not failed, failed)
