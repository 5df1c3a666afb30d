// Server-sent events of a response.

export interface StreamEvent {
  name: string;
  data: string;
}

interface Delta {
  content?: string | null;
  reasoning_content?: string | null;
}

export interface Chunk {
  choices?: { delta?: Delta; message?: Delta }[];
  error?: { message?: string; code?: string | null };
}

function parse(block: string): StreamEvent | null {
  let name = "";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length > 0 ? { name, data: data.join("\n") } : null;
}

/** Events in order. A response that is no stream is one event. */
export async function* events(response: Response): AsyncGenerator<StreamEvent> {
  if (!response.headers.get("content-type")?.includes("event-stream")) {
    yield { name: "", data: await response.text() };
    return;
  }
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest = (rest + (value ?? "")).replaceAll("\r\n", "\n");
    const blocks = rest.split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = parse(block);
      if (event) yield event;
    }
    if (done) return;
  }
}
