import { describe, expect, it } from "vitest";
import { footnote } from "./answer";
import { append, type Delta, type Side, type Turn } from "./stream";

const side = (values: Partial<Side> = {}): Side => ({
  status: "streaming",
  text: "",
  badge: "",
  note: "",
  tokens: 0,
  seconds: null,
  error: null,
  ...values,
});
const turns = (text: string): Turn[] => [
  { id: 1, prompt: "hi", seed: 7, sides: { tuned: side({ text }), base: side() } },
];
const delta = (at: number, text: string): Delta => ({
  turn: 1,
  side: "tuned",
  at,
  text,
  status: "streaming",
  tokens: 2,
});

describe("append", () => {
  it("adds a piece to its own side", () => {
    const grown = append(turns("Hel"), delta(3, "lo"));
    expect(grown?.[0]?.sides.tuned?.text).toBe("Hello");
    expect(grown?.[0]?.sides.base?.text).toBe("");
  });

  it("counts as Python does when it says where a piece begins (UTF-16 units)", () => {
    expect(append(turns("👍"), delta(2, "!"))?.[0]?.sides.tuned?.text).toBe("👍!");
  });

  it("takes a piece once, after a reload as well", () => {
    const whole = turns("Hello");
    expect(append(whole, delta(3, "lo"))).toBe(whole);
  });

  it("refuses a piece with a gap before it, or of an unknown turn", () => {
    expect(append(turns("He"), delta(3, "lo"))).toBeNull();
    expect(append([], delta(0, "x"))).toBeNull();
  });

  it("never changes the turns it was given", () => {
    const before = turns("Hel");
    append(before, delta(3, "lo"));
    expect(before[0]?.sides.tuned?.text).toBe("Hel");
  });
});

it.each<[Partial<Side>, string]>([
  [{ status: "queued" }, "next in line"],
  [{ status: "waiting", note: "waiting for the training step to end" }, "waiting for the training step to end"],
  [{ status: "streaming", tokens: 3 }, "3 tokens…"],
  [{ status: "done", tokens: 20, seconds: 2 }, "20 tokens, 10.0 tokens/s"],
  [{ status: "stopped", tokens: 1, seconds: 1 }, "stopped, 1 token"],
  [{ status: "stopped", note: "before it began" }, "stopped before it began"],
])("footnote %#", (values, text) => expect(footnote(side(values))).toBe(text));
