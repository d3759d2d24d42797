/** Buttons that turn the pages of a list, with what is shown between them. */
import { Button } from "./controls";
import { count } from "./format";

/** A button; without a way to go it stands there disabled, so that nothing moves under the pointer. */
export type Step = readonly [text: string, go: (() => void) | null];

interface PagerProps {
  label: string;
  back: readonly Step[];
  on: readonly Step[];
  /** What is shown now, such as `range(...)`. */
  shown?: string;
}

export function Pager({ label, back, on, shown }: PagerProps) {
  const button = ([text, go]: Step) => (
    <Button key={text} small disabled={go === null} onClick={() => go?.()}>
      {text}
    </Button>
  );
  return (
    <nav class="snb-row" aria-label={label}>
      {back.map(button)}
      {shown && <span class="snb-muted">{shown}</span>}
      {on.map(button)}
    </nav>
  );
}

/** "21 to 40 of 45": which of so many are shown. */
export const range = (begin: number, shown: number, total: number): string =>
  `${count(begin + 1)} to ${count(Math.min(begin + shown, total))} of ${count(total)}`;
