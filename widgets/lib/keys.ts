/** Plain keys as shortcuts of one part of a panel: they work while the focus is in that part, and never while somebody types. */

import { useCallback, useRef } from "preact/hooks";

const TYPING = "input, textarea, select, [contenteditable]";
const STEPS = new Set(["j", "k"]);

export function onKeys(keys: Record<string, () => void>): (event: KeyboardEvent) => void {
  return (event) => {
    const target = event.target as HTMLElement | null;
    const typing = target?.matches?.(TYPING) ?? false;
    const presses = event.key === "Enter" && (target?.matches?.("button, a, summary") ?? false);
    const does = presses ? undefined : keys[event.key];
    if (typing || event.ctrlKey || event.metaKey || event.altKey || does === undefined) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    // A key that is held down would answer, or take back, whatever comes next; only steps along a list go on.
    if (!event.repeat || STEPS.has(event.key)) {
      does();
    }
  };
}

/** Says which key does the same as a button. */
export const KEY_OF = (key: string): { "aria-keyshortcuts": string } => ({ "aria-keyshortcuts": key });

/**
 * Lets one answer about a thing through until the kernel has handled it. What is on screen changes before the kernel says that
 * it is done, so whoever waits for that would lose the key that somebody presses for the next thing.
 */
export function useOnce(waiting: boolean): (about: string, does: () => void) => () => void {
  const last = useRef<string | null>(null);
  if (!waiting) {
    last.current = null;
  }
  return useCallback(
    (about, does) => () => {
      if (last.current !== about) {
        last.current = about;
        does();
      }
    },
    [],
  );
}
