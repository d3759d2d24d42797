/** What the next run starts from: the fresh base, the model as it is, or as it was when it was chosen; and a fresh copy. */
import { Button } from "../lib/controls";
import { gigabytes } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { useId } from "../lib/use-id";
import type { StartFrom } from "./types";

export function StartFromPart({ disabled }: { disabled: boolean }) {
  const start = useTraitValue<StartFrom>("start");
  const [send, waiting] = useCommand();
  const name = useId();
  const choices = start.choices ?? [];
  if (choices.length === 0) {
    return null;
  }
  return (
    <fieldset class="train-devices" disabled={disabled}>
      <legend class="train-label">Start from</legend>
      {choices.map((choice) => (
        <label key={choice.id} class="train-device">
          <input
            type="radio"
            name={name}
            checked={choice.id === start.choice}
            onChange={() => send("start_from", { choice: choice.id })}
          />
          <span class="train-startfrom">
            <b>{choice.title}</b> <span class="snb-muted">{choice.note}</span>
          </span>
        </label>
      ))}
      {typeof start.copy_gb === "number" && (
        <div class="snb-row">
          <Button small disabled={waiting === "fresh_copy"} onClick={() => send("fresh_copy")}>
            Load a fresh copy
          </Button>
          <span class="snb-muted">
            takes {gigabytes(start.copy_gb)} more and leaves this model as it is, so that both can answer
          </span>
        </div>
      )}
    </fieldset>
  );
}
