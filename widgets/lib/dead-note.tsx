/** What a panel says that has lost its kernel: that it is dead, and the cell that goes on. */
import { CodeBlock } from "./copy-code";
import type { Life } from "./life";
import { useTraitValue } from "./model";

export function DeadNote({ life }: { life: Life }) {
  const revival = useTraitValue<string | undefined>("revival");
  if (life === "live") {
    return null;
  }
  return (
    <div class="snb-dead" role="alert">
      <p>
        <b>{life === "gone" ? "This panel has no kernel any more." : "The connection to the kernel is lost."}</b>{" "}
        {life === "gone"
          ? "The kernel that made it was restarted or has ended. Below is what the panel knew last; its buttons are off."
          : "Below is what the panel knew last; its buttons work again once the page has reconnected."}
      </p>
      {life === "gone" && revival && <CodeBlock title="Run this in a cell to go on" code={revival} />}
    </div>
  );
}
