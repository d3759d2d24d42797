/** The Run panel: what a run does now, its curves, and the buttons that steer it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Button, Tabs } from "../lib/controls";
import { CodeBlock } from "../lib/copy-code";
import { ErrorCard } from "../lib/error-card";
import { type ErrorInfo, useCommand, useError, usePanel, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { StatusLine } from "../lib/status-line";
import { Charts } from "./charts";
import { coverSnapshot } from "./cover";
import { Checkpoints, Code, Samples, Warnings } from "./details";
import { Header } from "./header";
import { curvesOf, follow } from "./store";
import type { About, Checkpoint, Sample, Status, Warning } from "./types";
import "./run.css";

function Run() {
  const { model } = usePanel();
  const about = useTraitValue<About>("about");
  const status = useTraitValue<Status>("status");
  const samples = useTraitValue<Sample[]>("samples");
  const checkpoints = useTraitValue<Checkpoint[]>("checkpoints");
  const warnings = useTraitValue<Warning[]>("warnings");
  const failure = useTraitValue<ErrorInfo | Record<string, never>>("failure");
  const code = useTraitValue<Record<string, string>>("code");
  const [tab, setTab] = useState("samples");
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => (root.current === null ? undefined : coverSnapshot(root.current, about.id)), [about.id]);
  const done = status.status === "succeeded" || status.status === "stopped";
  const newest = warnings.at(-1);
  return (
    <div class="snb-stack" ref={root}>
      <Header about={about} status={status} checkpoints={checkpoints} />
      <CommandError />
      {"what" in failure && <ErrorCard error={failure as ErrorInfo} />}
      {status.status === "interrupted" && (
        <p class="run-note">
          The process that trained this run is gone. What was learned since the last checkpoint is lost; Resume goes on
          from there.
        </p>
      )}
      <Charts curves={curvesOf(model)} status={status} />
      {done && <CodeBlock title="Next: chat with it, save it" code={code.next ?? ""} />}
      <Tabs
        label="Details of the run"
        selected={tab}
        onSelect={setTab}
        tabs={[
          { id: "samples", title: "Samples", body: () => <Samples samples={samples} /> },
          {
            id: "checkpoints",
            title: "Checkpoints",
            count: checkpoints.length,
            body: () => <Checkpoints checkpoints={checkpoints} />,
          },
          { id: "warnings", title: "Warnings", count: warnings.length, body: () => <Warnings warnings={warnings} /> },
          { id: "code", title: "Code", body: () => <Code code={code} /> },
        ]}
      />
      <StatusLine hidden>{newest ? `Warning: ${newest.what}` : ""}</StatusLine>
    </div>
  );
}

function CommandError() {
  const error = useError();
  const [send] = useCommand();
  if (error === null) {
    return null;
  }
  return (
    <ErrorCard
      error={error}
      actions={
        <Button small onClick={() => send("dismiss")}>
          Dismiss
        </Button>
      }
    />
  );
}

export default definePanel(Run, { label: "Run", setup: follow });
