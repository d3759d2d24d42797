/** What was done, in order; each step can be taken back, and done again. */
import { Button } from "../lib/controls";
import { count } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import type { StepDone } from "./types";

export function Steps() {
  const steps = useTraitValue<StepDone[]>("steps");
  const undone = useTraitValue<number>("undone");
  const busy = useTraitValue<string>("working") !== "";
  const [send, waiting] = useCommand();
  if (steps.length === 0 && undone === 0) {
    return null;
  }
  return (
    <section class="snb-stack" aria-label="Steps">
      <div class="snb-row">
        <h3>Steps</h3>
        <Button small disabled={busy || waiting !== null || steps.length === 0} onClick={() => send("undo")}>
          Undo
        </Button>
        <Button small disabled={busy || waiting !== null || undone === 0} onClick={() => send("redo")}>
          {undone > 1 ? `Redo (${count(undone)})` : "Redo"}
        </Button>
      </div>
      <ol class="data-steps">
        {steps.map((step, at) => (
          <li key={at}>
            {step.title} {step.rows && <span class="snb-muted">{step.rows}</span>}
          </li>
        ))}
      </ol>
    </section>
  );
}
