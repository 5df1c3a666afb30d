// Text of a model as elements: paragraphs, lists, code. Nothing in it becomes HTML, links included.

import type { ComponentChildren } from "preact";

type Block = { kind: "code"; text: string } | { kind: "list"; items: string[] } | { kind: "title"; text: string } | { kind: "text"; text: string };

function blocks(text: string): Block[] {
  const found: Block[] = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    const last = found.at(-1);
    if (line.startsWith("```")) {
      const code: string[] = [];
      for (at++; at < lines.length && !(lines[at] ?? "").startsWith("```"); at++) code.push(lines[at] ?? "");
      found.push({ kind: "code", text: code.join("\n") });
    } else if (/^\s*([-*]|\d+\.)\s/.test(line)) {
      const item = line.replace(/^\s*([-*]|\d+\.)\s+/, "");
      if (last?.kind === "list") last.items.push(item);
      else found.push({ kind: "list", items: [item] });
    } else if (/^#{1,4}\s/.test(line)) {
      found.push({ kind: "title", text: line.replace(/^#+\s+/, "") });
    } else if (line.trim() === "") {
      if (last?.kind === "text" && last.text !== "") found.push({ kind: "text", text: "" });
    } else if (last?.kind === "text") {
      last.text += (last.text === "" ? "" : "\n") + line;
    } else {
      found.push({ kind: "text", text: line });
    }
  }
  return found.filter((block) => block.kind !== "text" || block.text !== "");
}

function inline(text: string): ComponentChildren[] {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((part, index) => {
    if (part.length > 2 && part.startsWith("`") && part.endsWith("`")) return <code key={index}>{part.slice(1, -1)}</code>;
    if (part.length > 4 && part.startsWith("**") && part.endsWith("**")) return <strong key={index}>{part.slice(2, -2)}</strong>;
    return part;
  });
}

export function Text({ of }: { of: string }) {
  return (
    <div class="prose" dir="auto">
      {blocks(of).map((block, index) => {
        switch (block.kind) {
          case "code":
            return <pre key={index} class="code">{block.text}</pre>;
          case "list":
            return <ul key={index}>{block.items.map((item, at) => <li key={at}>{inline(item)}</li>)}</ul>;
          case "title":
            return <p key={index}><strong>{block.text}</strong></p>;
          case "text":
            return <p key={index}>{inline(block.text)}</p>;
        }
      })}
    </div>
  );
}
