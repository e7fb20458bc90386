// Aborts a stream when it is told to, and then stays until it is told to end.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import OpenAI from "openai";

const orders = createInterface({ input: process.stdin });
const order = (word) =>
  new Promise((resolve) => orders.on("line", (line) => line === word && resolve()));
const told = order("abort");
const dismissed = order("end");

const client = new OpenAI({ maxRetries: 0 });
const controller = new AbortController();
const stream = await client.chat.completions.create(
  {
    model: "tiny",
    messages: [{ role: "user", content: "Count to 100." }],
    max_tokens: 3500,
    n: 8, // seconds of work, also for a fast machine: it must not be over before it is aborted
    ignore_eos: true,
    stream: true,
  },
  { signal: controller.signal },
);
let chunks = 0;
let ends = 0;
for await (const chunk of stream) {
  chunks += 1;
  if (chunk.choices[0].finish_reason) ends += 1;
  if (chunks === 3) {
    console.log("streaming");
    told.then(() => controller.abort());
  }
}
assert.ok(controller.signal.aborted);
assert.equal(ends, 0);
console.log("aborted");
await dismissed;
orders.close();
