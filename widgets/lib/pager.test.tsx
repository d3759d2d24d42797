import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, expect, test, vi } from "vitest";
import { Pager, range } from "./pager";

const el = document.createElement("div");

afterEach(() => act(() => render(null, el)));

test("a step without a way stands there disabled, the others go", () => {
  const go = vi.fn();
  act(() => render(<Pager label="Pages" back={[["Before", null]]} shown="1 to 2 of 4" on={[["Next", go]]} />, el));
  const [before, next] = [...el.querySelectorAll("button")];
  expect([before?.disabled, next?.disabled]).toEqual([true, false]);
  act(() => next?.click());
  expect(go).toHaveBeenCalledOnce();
  expect(el.querySelector("nav")?.getAttribute("aria-label")).toBe("Pages");
  expect(el.textContent).toBe("Before1 to 2 of 4Next");
});

test("the last page ends with the last entry", () => {
  expect(range(0, 20, 45)).toBe("1 to 20 of 45");
  expect(range(40, 20, 45)).toBe("41 to 45 of 45");
});
