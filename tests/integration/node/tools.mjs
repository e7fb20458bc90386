// A tool call, plain, streamed and put together by the SDK's own runner, which answers it with the tool's result.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "What is the weather in Oslo?" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const described = { name: "get_weather", description: "The weather in a city.", parameters };
const tools = [{ type: "function", function: described }];
const request = { model: "tiny", messages, tools, temperature: 0 };

const plain = await client.chat.completions.create(request);
assert.equal(plain.choices[0].finish_reason, "tool_calls");
const call = plain.choices[0].message.tool_calls[0].function;
assert.equal(call.name, "get_weather");
assert.deepEqual(JSON.parse(call.arguments), { city: "Oslo" });

const streamed = await client.chat.completions.stream(request).finalChatCompletion();
assert.equal(streamed.choices[0].message.tool_calls[0].function.arguments, call.arguments);

const asked = [];
const tool = {
  ...described,
  parse: JSON.parse,
  function: ({ city }) => {
    asked.push(city);
    return JSON.stringify({ temperature: 21, sky: "cloudy" });
  },
};
const runner = client.chat.completions.runTools({
  model: "tiny",
  messages,
  temperature: 0,
  stream: true,
  tools: [{ type: "function", function: tool }],
});
assert.ok(await runner.finalContent());
assert.deepEqual(asked, ["Oslo"]);
