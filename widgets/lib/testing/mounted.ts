/** A panel on a page of its own for each test of a file: shown with traits, taken off again afterwards. */
import { act } from "preact/test-utils";
import { afterEach, beforeEach } from "vitest";
import { FakeModel } from "./fake-model";

interface Widget {
  render: (options: { model: FakeModel; el: HTMLElement }) => () => void;
}

export function mounted(widget: unknown, traits: Record<string, unknown>) {
  const { render } = widget as Widget;
  let stop = () => {};
  const page = {
    model: new FakeModel(traits),
    el: document.createElement("div"),
    show(values: Record<string, unknown> = {}): void {
      page.model = new FakeModel({ ...traits, ...values });
      act(() => {
        stop = render(page);
      });
    },
    /** The commands that the kernel has not answered yet. */
    sent: () => (page.model.get("commands") as Record<string, unknown>[]) ?? [],
    button: (text: string) => [...page.el.querySelectorAll("button")].find((each) => each.textContent === text),
  };

  beforeEach(() => {
    page.el = document.createElement("div");
    document.body.append(page.el);
  });

  afterEach(() => {
    act(() => stop());
    page.el.remove();
  });

  return page;
}
