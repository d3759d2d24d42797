/** The Export panel: a model as files that others run, how large they will be, and how good they are. */
import { useEffect, useRef } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CommandError } from "../lib/command-error";
import { Button, Progress } from "../lib/controls";
import { coverSnapshot } from "../lib/cover";
import { ErrorCard } from "../lib/error-card";
import { sendCommand, usePanel, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { StatusLine } from "../lib/status-line";
import { ExportForm, Source } from "./form";
import { Report } from "./report";
import type { State } from "./types";
import "./export.css";

function Export() {
  const state = useTraitValue<State>("state");
  const name = useTraitValue<string>("name");
  const { model } = usePanel();
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    sendCommand(model, "look"); // reads what runs there are, which nobody needs before this is seen
  }, [model]);
  useEffect(() => (root.current === null ? undefined : coverSnapshot(root.current, "ShadowNB export", () => {})), []);
  const working = state.stage === "working";
  return (
    <div class="snb-stack" ref={root}>
      <h2>Export</h2>
      <CommandError />
      {working && <Progress label={state.doing ?? "Working"} value={null} />}
      <StatusLine>{working ? `Working: ${state.doing}…` : ""}</StatusLine>
      {working && <Steps steps={state.steps ?? []} />}
      {working && state.stopping !== undefined && (
        <div class="snb-row">
          <Button disabled={state.stopping} onClick={() => sendCommand(model, "stop")}>
            {state.stopping ? "Stopping" : "Stop"}
          </Button>
        </div>
      )}
      {state.stopped && <p role="status">{state.stopped}</p>}
      {state.stage === "failed" && state.error && <ErrorCard error={state.error} />}
      <Source working={working} />
      {name === "" ? (
        <p class="snb-empty snb-muted">
          No model is loaded. Choose the result of a run, or load a model in a cell and look again.
        </p>
      ) : (
        <ExportForm working={working} />
      )}
      <Report />
      <AsCode
        title="the same"
        kinds={[
          ["python", "Python"],
          ["magic", "Magic"],
          ["shell", "Shell"],
        ]}
        missing="Shown once something was exported here. What a command can't say, the cell can."
      />
    </div>
  );
}

/** What is done of an export. */
function Steps({ steps }: { steps: NonNullable<State["steps"]> }) {
  return steps.length === 0 ? null : (
    <ol class="export-steps" aria-label="Steps">
      {steps.map(({ text, seconds }, at) => (
        <li key={at} class={seconds === null ? "" : "snb-muted"}>
          {text}
          {seconds !== null && `: ${seconds.toFixed(1)} s`}
        </li>
      ))}
    </ol>
  );
}

export default definePanel(Export, { label: "Export" });
