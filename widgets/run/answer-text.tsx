/** A text that scrolls where it is long; then, and only then, the keyboard reaches it. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

export function AnswerText({ children }: { children: ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null);
  const [scrolls, setScrolls] = useState(false);
  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const look = () => setScrolls(element.scrollHeight > element.clientHeight);
    look();
    if (typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(look);
    observer.observe(element);
    return () => observer.disconnect();
  }, [children]);
  return (
    <div class="run-answer" ref={box} tabIndex={scrolls ? 0 : undefined}>
      {children}
    </div>
  );
}
