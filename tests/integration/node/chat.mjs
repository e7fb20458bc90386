// A plain chat, and the list of models.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "What is the capital of Norway?" }];

const { data, response, request_id } = await client.chat.completions
  .create({ model: "tiny", messages, temperature: 0 })
  .withResponse();
assert.equal(response.status, 200);
assert.ok(request_id);
assert.equal(data.object, "chat.completion");
assert.equal(data.choices[0].finish_reason, "stop");
assert.match(data.choices[0].message.content, /Oslo/);
assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);

const names = [];
for await (const model of client.models.list()) names.push(model.id);
assert.deepEqual(names, ["tiny"]);
assert.equal((await client.models.retrieve("tiny")).id, "tiny");
