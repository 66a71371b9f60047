// What both peers have in common: the request, read from a file so that its bytes are those that wf sends; and the lanes.
import { readFileSync } from "node:fs";

const [file, count, width] = process.argv.slice(2);
const template = JSON.parse(readFileSync(file, "utf8"));

/** Asks once per message, so many at a time as there are lanes, and checks each answer. */
export async function run(ask) {
  let next = 0;
  const lane = async () => {
    while (next < Number(count)) {
      const prompt = `task ${++next}`;
      const text = await ask({ ...template, messages: [{ role: "user", content: [{ type: "text", text: prompt }] }] });
      if (!text) throw new Error(`${prompt}: an empty answer`);
    }
  };
  await Promise.all(Array.from({ length: Number(width) }, lane));
}
