import { describe, expect, it } from "vitest";
import { type Field, groups, number, placeholder, range, roughly } from "./form";

const field = (values: Partial<Field>): Field => ({
  name: "lora_r",
  title: "LoRA rank",
  kind: "int",
  default: 16,
  help: "",
  group: "adapter",
  group_title: "Adapter",
  advanced: false,
  unit: "",
  optional: false,
  choices: [],
  minimum: null,
  exclusive_minimum: null,
  maximum: null,
  ...values,
});

describe("groups", () => {
  const fields = [
    field({ name: "a" }),
    field({ name: "b", group: "batch", group_title: "Batch" }),
    field({ name: "c", advanced: true }),
  ];
  const names = (show: Parameters<typeof groups>[1]) =>
    groups(fields, show).map((group) => [group.title, group.fields.map((one) => one.name)]);

  it("keeps simple and advanced fields apart", () => {
    expect(names({ advanced: false, unsupported: {}, values: {} })).toEqual([
      ["Adapter", ["a"]],
      ["Batch", ["b"]],
    ]);
    expect(names({ advanced: true, unsupported: {}, values: {} })).toEqual([["Adapter", ["c"]]]);
  });

  it("hides what the method can't honour, unless it is set", () => {
    const unsupported = { a: "full does not use it" };
    expect(names({ advanced: false, unsupported, values: {} })).toEqual([["Batch", ["b"]]]);
    expect(names({ advanced: false, unsupported, values: { a: "8" } })[0]).toEqual(["Adapter", ["a"]]);
  });
});

it.each([
  [field({}), {}, "16"],
  [field({ default: null }), {}, "automatic"],
  [field({ default: 5e-5 }), {}, "5e-5"],
  [field({ default: [] }), {}, "none"],
  [field({ name: "learning_rate", default: null }), { learning_rate: "0.0005" }, "0.0005"],
  [field({ name: "packing", kind: "bool", default: false }), { packing: true }, "true"],
])("placeholder %#", (one, resolved, text) => expect(placeholder(one, resolved as Record<string, unknown>)).toBe(text));

it.each([
  [field({ minimum: 1, maximum: 1024 }), "1 to 1024"],
  [field({ exclusive_minimum: 0, maximum: 10 }), "above 0, at most 10"],
  [field({ minimum: 1 }), "1 or more"],
  [field({}), ""],
])("range %#", (one, text) => expect(range(one)).toBe(text));

it.each([
  [4, "a few seconds"],
  [44, "about 40 s"],
  [240, "about 4 min"],
  [7200, "about 2.0 h"],
  [200000, "about 2 days"],
])("%i s is %s", (seconds, text) => expect(roughly(seconds)).toBe(text));

it("writes small numbers as people type them", () => {
  expect([number(0), number(0.1), number(2e-4), number(2e6)]).toEqual(["0", "0.1", "2e-4", "2e6"]);
});
