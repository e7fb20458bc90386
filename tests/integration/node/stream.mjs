// A streamed chat: the same text as a plain one, whole letters, usage for who asks.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Say hello in many languages." }];
const request = { model: "tiny", messages, temperature: 0 };

const plain = await client.chat.completions.create(request);
const text = plain.choices[0].message.content;
assert.ok(!text.includes("\ufffd"));

let streamed = "";
const ends = [];
for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
  assert.equal(chunk.usage ?? null, null);
  streamed += chunk.choices[0].delta.content ?? "";
  if (chunk.choices[0].finish_reason) ends.push(chunk.choices[0].finish_reason);
}
assert.equal(streamed, text);
assert.deepEqual(ends, ["stop"]);

const usages = [];
const counted = { ...request, stream: true, stream_options: { include_usage: true } };
for await (const chunk of await client.chat.completions.create(counted)) {
  if (chunk.usage) usages.push(chunk.usage.completion_tokens);
}
assert.deepEqual(usages, [plain.usage.completion_tokens]);

// The SDK's own reader of streams puts the pieces together itself and insists on a proper end.
const whole = await client.chat.completions.stream(request).finalChatCompletion();
assert.equal(whole.choices[0].message.content, text);
