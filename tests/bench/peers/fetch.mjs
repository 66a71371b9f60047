// No library: fetch, and server-sent events taken apart by hand.
import { run } from "./lanes.mjs";

const url = `${process.env.ANTHROPIC_BASE_URL}/v1/messages`;
const headers = {
  authorization: `Bearer ${process.env.ANTHROPIC_API_KEY}`,
  "anthropic-version": "2026-10-21",
  "content-type": "application/json",
};

await run(async (request) => {
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(request) });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const decoder = new TextDecoder();
  let rest = "", text = "", ended = false;
  for await (const bytes of response.body) {
    const events = (rest + decoder.decode(bytes, { stream: true })).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = JSON.parse(event.slice(event.indexOf("data: ") + 6));
      if (data.type === "content_block_delta") text += data.delta.text;
      if (data.type === "message_stop") ended = true;
    }
  }
  if (!ended) throw new Error("the stream was cut");
  return text;
});
