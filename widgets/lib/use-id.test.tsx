import { render } from "preact";
import { expect, test } from "vitest";
import { useId } from "./use-id";

function Two() {
  return <p>{`${useId()} ${useId()}`}</p>;
}

test("ids differ within a panel and between panels, and stay", () => {
  const seen = new Set<string>();
  for (let panel = 0; panel < 2; panel += 1) {
    const el = document.createElement("div");
    render(<Two />, el);
    const first = el.textContent;
    render(<Two />, el);
    expect(el.textContent).toBe(first);
    for (const id of (first ?? "").split(" ")) seen.add(id);
  }
  expect(seen.size).toBe(4);
});
