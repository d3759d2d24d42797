/** An id that no other panel of the page has: preact's own counts from zero in each panel, so labels and radio groups of two panels would meet. */
import { useState } from "preact/hooks";

let used = 0;
const bundle = Math.random().toString(36).slice(2, 8);

export function useId(): string {
  const [id] = useState(() => {
    used += 1;
    return `snb-${bundle}-${used}`;
  });
  return id;
}
