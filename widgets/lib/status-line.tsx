/** One line that screen readers announce when it changes. Keep fast-changing numbers out of it. */
import type { ComponentChildren } from "preact";

export function StatusLine({ children, hidden = false }: { children: ComponentChildren; hidden?: boolean }) {
  return (
    <div role="status" aria-live="polite" class={hidden ? "snb-hidden" : "snb-statusline"}>
      {children}
    </div>
  );
}
