/** What was opened from a list: it takes the focus when it appears or another one takes its place, and can be closed. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Button } from "./controls";

interface OpenedProps {
  id: string | number;
  label: string;
  title: string;
  /** Stands beside the title. */
  chip?: ComponentChildren;
  onClose: () => void;
  /** Plain keys as shortcuts while the focus is in it. */
  onKeyDown?: (event: KeyboardEvent) => void;
  children: ComponentChildren;
}

export function Opened({ id, label, title, chip, onClose, onKeyDown, children }: OpenedProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const before = useRef<string | number | null>(null);
  useEffect(() => {
    if (before.current !== id) {
      before.current = id;
      heading.current?.focus({ preventScroll: true });
      heading.current?.scrollIntoView?.({ block: "nearest" });
    }
  }, [id]);
  return (
    <article class="snb-stack snb-opened" aria-label={label} onKeyDown={onKeyDown}>
      <div class="snb-row">
        <h3 ref={heading} tabIndex={-1}>
          {title}
        </h3>
        {chip}
        <span class="snb-push">
          <Button kind="quiet" small onClick={onClose}>
            Close
          </Button>
        </span>
      </div>
      {children}
    </article>
  );
}
