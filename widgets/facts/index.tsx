/** The Facts panel: what a model knows by heart, changed fact by fact, and where a question goes. */
import { useEffect, useRef, useState } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CommandError } from "../lib/command-error";
import { Button, Progress } from "../lib/controls";
import { coverSnapshot } from "../lib/cover";
import { ErrorCard } from "../lib/error-card";
import { counted } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { StatusLine } from "../lib/status-line";
import { FactForm } from "./form";
import { Question } from "./question";
import { FactTable } from "./table";
import type { FactRow, State } from "./types";
import "./facts.css";

const DOING = {
  reading: "Reading the facts",
  learning: "Learning",
  removing: "Removing",
  undoing: "Taking back the last edit",
  testing: "Asking for every fact",
  asking: "Asking",
};

function Facts() {
  const state = useTraitValue<State>("state");
  const name = useTraitValue<string>("name");
  const rows = useTraitValue<FactRow[]>("facts");
  const count = useTraitValue<number>("count");
  const told = useTraitValue<string[]>("told");
  const undoable = useTraitValue<boolean>("undoable");
  const [send] = useCommand();
  const [edited, edit] = useState<FactRow | null>(null);
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => (root.current === null ? undefined : coverSnapshot(root.current, "ShadowNB facts", () => {})), []);
  const working = state.stage === "working";
  return (
    <div class="snb-stack" ref={root}>
      <div class="snb-row">
        <h2>Facts</h2>
        {name && (
          <span class="snb-muted">
            {name}: {counted(count, "fact")}
          </span>
        )}
      </div>
      <CommandError />
      {working && <Progress label={DOING[state.doing ?? "reading"]} value={null} />}
      <StatusLine>{working ? `${DOING[state.doing ?? "reading"]}…` : told.join(" ")}</StatusLine>
      {state.stage === "failed" && state.error && <ErrorCard error={state.error} />}
      {name === "" ? (
        <div class="snb-empty snb-muted">
          <p>No model yet. Load one in a cell, then look again.</p>
          <Button disabled={working} onClick={() => send("look")}>
            Look again
          </Button>
        </div>
      ) : (
        <>
          {count === 0 ? (
            <p class="snb-empty snb-muted">
              This model knows nothing by heart yet. Add a question and its answer: it is learned by itself, and nothing
              else changes.
            </p>
          ) : (
            <FactTable rows={rows} count={count} working={working} edited={edited} edit={edit} />
          )}
          <div class="snb-row">
            <Button disabled={working || count === 0} onClick={() => send("test")}>
              Ask for every fact
            </Button>
            <Button disabled={working || !undoable} onClick={() => send("undo")}>
              Undo the last edit
            </Button>
            <Button kind="quiet" disabled={working} onClick={() => send("look")}>
              Read again
            </Button>
          </div>
          <FactForm key={edited?.question ?? ""} edited={edited} stage={state.stage} done={() => edit(null)} />
          <Question working={working} />
        </>
      )}
      <AsCode
        title="the same"
        kinds={[
          ["python", "Python"],
          ["magic", "Magic"],
        ]}
        missing="Shown once something was done here."
      />
    </div>
  );
}

export default definePanel(Facts, { label: "Facts" });
