import { expect, test } from "vitest";
import { shiftOf } from "./stuck";

test("the last part stands at the foot of what is seen, and never outside of its panel", () => {
  expect(shiftOf(0, 500, 50, 800)).toBe(0); // all is seen
  expect(shiftOf(-100, 1900, 50, 800)).toBe(-1100);
  expect(shiftOf(790, 2700, 50, 800)).toBe(-1860); // only the panel's head is seen: below it, not above
});
