/** Plain keys as shortcuts of one part of a panel: they work while the focus is in that part, and never while somebody types. */

const TYPING = "input, textarea, select, [contenteditable]";

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
    does();
  };
}

/** Says which key does the same as a button. */
export const KEY_OF = (key: string): { "aria-keyshortcuts": string } => ({ "aria-keyshortcuts": key });
