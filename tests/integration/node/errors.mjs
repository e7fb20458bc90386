// Each refusal is the error class that the SDK has for it, with code and request id.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Hi" }];
const chat = (fields, by = client) =>
  by.chat.completions.create({ model: "tiny", messages, max_tokens: 3, ...fields });

const refuses = (promise, kind, code) =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    assert.equal(error.code, code);
    assert.ok(error.requestID);
    assert.equal(error.headers.get("x-should-retry"), "false");
    return true;
  });

const long = [{ role: "user", content: "word ".repeat(6000) }];
for (const stream of [false, true]) {
  await refuses(chat({ stream, messages: long }), OpenAI.BadRequestError, "context_length_exceeded");
  await refuses(chat({ stream, temperature: 9 }), OpenAI.BadRequestError, "invalid_request");
  await refuses(chat({ stream, model: "nobody" }), OpenAI.NotFoundError, "model_not_found");
}
const stranger = new OpenAI({ apiKey: "gw_local_nobody", maxRetries: 0 });
await refuses(chat({}, stranger), OpenAI.AuthenticationError, "invalid_api_key");
await refuses(client.models.retrieve("nobody"), OpenAI.NotFoundError, "model_not_found");
