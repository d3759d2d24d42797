/** The Sweep panel: start one, watch its trials, see which options mattered, train the best. */
import { useEffect } from "preact/hooks";
import { CommandError } from "../lib/command-error";
import { Field } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { NewSweep } from "./form";
import { Result } from "./result";
import type { Line, Sweep } from "./types";
import "./sweep.css";

function SweepPanel() {
  const sweeps = useTraitValue<Line[]>("sweeps");
  const sweep = useTraitValue<Sweep | Record<string, never>>("sweep");
  const [send] = useCommand();
  useEffect(() => {
    send("look");
  }, []);
  return (
    <div class="snb-stack">
      <div class="snb-row">
        <h2>Sweep</h2>
        {sweeps.length > 0 && (
          <Field label="Shown">
            {(ids) => (
              <select
                {...ids}
                class="snb-select"
                value={sweep.name ?? ""}
                onChange={(event) => send("open", { name: event.currentTarget.value })}
              >
                {sweeps.map(({ name, status, done, trials }) => (
                  <option key={name} value={name}>
                    {`${name}: ${status}, ${done}${trials === null ? "" : ` of ${trials}`} trials`}
                  </option>
                ))}
              </select>
            )}
          </Field>
        )}
      </div>
      <CommandError />
      {"rows" in sweep ? (
        <Result sweep={sweep as Sweep} />
      ) : (
        <p class="snb-empty snb-muted">No sweep yet. Start one below, or with model.sweep(rows, ...) in a cell.</p>
      )}
      <NewSweep open={sweeps.length === 0} />
    </div>
  );
}

export default definePanel(SweepPanel, { label: "Sweep" });
