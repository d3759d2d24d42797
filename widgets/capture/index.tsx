/** The Capture panel: start and stop a recording, point clients at it, and see calls, usage and cost as they come. */
import { useEffect, useRef } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CommandError } from "../lib/command-error";
import { Button, Chip } from "../lib/controls";
import { coverSnapshot } from "../lib/cover";
import { useCommand, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { StatusLine } from "../lib/status-line";
import { Address } from "./address";
import { Calls } from "./calls";
import { CallSites } from "./costs";
import { StartForm } from "./form";
import { Sums } from "./totals";
import type { Choices, Recording, Stage } from "./types";
import "./capture.css";

const WORDS: Record<Stage, string> = {
  none: "",
  starting: "Starting",
  recording: "Recording",
  stopping: "Stopping",
  stopped: "Stopped",
  elsewhere: "Recording in another kernel",
};
const TONES: Partial<Record<Stage, "good" | "accent">> = { recording: "good", elsewhere: "accent" };

function Capture() {
  const recording = useTraitValue<Recording>("recording");
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => (root.current === null ? undefined : coverSnapshot(root.current, "ShadowNB capture", () => {})), []);
  const shown = recording.stage !== "none" && recording.stage !== "starting";
  return (
    <div class="snb-stack" ref={root}>
      <Head recording={recording} />
      <CommandError />
      {shown ? (
        <>
          <About recording={recording} />
          {recording.stage === "recording" && <Address recording={recording} />}
          <Sums />
          <CallSites />
          <Calls />
        </>
      ) : (
        <StartForm />
      )}
      <AsCode
        title="the same in a cell"
        kinds={[
          ["python", "Python"],
          ["magic", "Magic"],
          ["shell", "Shell"],
        ]}
        missing="A loaded model can be recorded from a cell only."
      />
    </div>
  );
}

function Head({ recording }: { recording: Recording }) {
  const { stage } = recording;
  const [send] = useCommand();
  return (
    <div class="snb-row">
      <h2>Capture</h2>
      {recording.id && <code>{recording.id}</code>}
      <StatusLine hidden={stage === "none"}>
        {stage !== "none" && <Chip tone={TONES[stage] ?? "plain"}>{WORDS[stage]}</Chip>}
      </StatusLine>
      <span class="snb-row snb-push">
        <Earlier shown={recording.id ?? ""} />
        {(stage === "recording" || stage === "stopping") && (
          <Button kind="danger" small onClick={() => send("stop")} disabled={stage === "stopping"}>
            {stage === "stopping" ? "Stopping" : "Stop recording"}
          </Button>
        )}
        {(stage === "recording" || stage === "stopped" || stage === "elsewhere") && (
          <Button small onClick={() => send("new")}>
            New recording
          </Button>
        )}
      </span>
    </div>
  );
}

function Earlier({ shown }: { shown: string }) {
  const { captures } = useTraitValue<Choices>("choices");
  const [send] = useCommand();
  const others = captures.filter(({ id }) => id !== shown);
  if (others.length === 0) {
    return null;
  }
  return (
    <select
      class="snb-select capture-earlier"
      aria-label="Open another capture"
      value=""
      onFocus={() => send("refresh")}
      onChange={(event) => event.currentTarget.value && send("show", { capture: event.currentTarget.value })}
    >
      <option value="">Open another</option>
      {others.map(({ id, title }) => (
        <option key={id} value={id}>
          {title}
        </option>
      ))}
    </select>
  );
}

function About({ recording }: { recording: Recording }) {
  const facts: [string, string | null | undefined][] = [
    ["Upstream", recording.target],
    ["Loaded model", recording.model],
    ["Key", recording.key_from && `from ${recording.key_from}`],
    ["Taken out", recording.redact?.join(", ")],
    ["Runs in", recording.process ? "a process of its own" : null],
    ["Folder", recording.folder],
  ];
  return (
    <dl class="capture-facts">
      {facts
        .filter(([, value]) => value)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

export default definePanel(Capture, { label: "Capture" });
