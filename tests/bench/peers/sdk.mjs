// The vendor's SDK, in the cheaper of its two ways to stream: its events as they come, not its helper that puts a message together.
import Anthropic from "@anthropic-ai/sdk";
import { run } from "./lanes.mjs";

const client = new Anthropic({ maxRetries: 5 });

await run(async (request) => {
  let text = "";
  for await (const event of await client.messages.create(request)) {
    if (event.type === "content_block_delta") text += event.delta.text;
  }
  return text;
});
