/** The Rewards panel: a scorer in the lab, with what it tells apart and what fools it. */
import { useEffect, useRef } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CommandError } from "../lib/command-error";
import { Button, Field, Progress } from "../lib/controls";
import { coverSnapshot } from "../lib/cover";
import { ErrorCard } from "../lib/error-card";
import { type Choice, GroupedOptions } from "../lib/grouped";
import { useCommand, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { Report } from "./report";
import type { Choices, Chosen, Found, State } from "./types";
import "./rewards.css";

function Rewards() {
  const state = useTraitValue<State>("state");
  const found = useTraitValue<Found | Record<string, never>>("found");
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => (root.current === null ? undefined : coverSnapshot(root.current, "ShadowNB rewards", () => {})), []);
  return (
    <div class="snb-stack" ref={root}>
      <h2>Rewards</h2>
      <Selection state={state} />
      <CommandError />
      {state.stage === "running" && <Progress label="Answers scored" value={state.done ?? 0} />}
      {state.stage === "failed" && state.error && <ErrorCard error={state.error} />}
      {state.stage === "ready" && "scorer" in found ? (
        <Report found={found as Found} />
      ) : (
        state.stage === "none" && (
          <p class="snb-empty snb-muted">
            The lab scores right answers, wrong ones, and texts that are made to fool a scorer. Choose a scorer and
            answers that are right.
          </p>
        )
      )}
      <AsCode
        title="the same lab"
        kinds={[
          ["python", "Python"],
          ["magic", "Magic"],
        ]}
        missing="Shown once a scorer and right answers are chosen."
      />
    </div>
  );
}

function Selection({ state }: { state: State }) {
  const choices = useTraitValue<Choices>("choices");
  const chosen = useTraitValue<Chosen>("chosen");
  const [send, waiting] = useCommand();
  const running = state.stage === "running";
  const select = (what: keyof Chosen, label: string, options: Choice[], none: string, help: string) => (
    <Field label={label} help={help}>
      {(ids) => (
        <select
          {...ids}
          class="snb-select"
          value={chosen[what]}
          disabled={running}
          onFocus={() => send("look")}
          onChange={(event) => send("choose", { [what]: event.currentTarget.value })}
        >
          <option value={what === "bad" ? "other" : ""}>{none}</option>
          <GroupedOptions options={options} />
        </select>
      )}
    </Field>
  );
  return (
    <>
      <div class="rewards-choice">
        {select(
          "scorer",
          "Scorer",
          choices.scorers,
          "Choose a scorer",
          "A function of the notebook, or one by its name.",
        )}
        {select("good", "Right answers", choices.good, "Choose answers", "Rows with prompt and answer, or texts.")}
        {select(
          "bad",
          "Wrong answers",
          choices.bad,
          "Those of other rows",
          "Rows or texts; else what is right elsewhere.",
        )}
      </div>
      <div class="snb-row">
        {running ? (
          <Button onClick={() => send("stop")}>Stop</Button>
        ) : (
          <Button
            kind="primary"
            disabled={waiting === "run" || chosen.scorer === "" || chosen.good === ""}
            onClick={() => send("run")}
          >
            Run the lab
          </Button>
        )}
      </div>
    </>
  );
}

export default definePanel(Rewards, { label: "Rewards" });
