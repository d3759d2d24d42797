/** Who the run is, how far it is, and what can be done with it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Button, Chip, Progress } from "../lib/controls";
import { CopyButton } from "../lib/copy-code";
import { useLife } from "../lib/life";
import { useCommand } from "../lib/model";
import { RunPicker } from "../lib/run-picker";
import { StatusLine } from "../lib/status-line";
import { Notice } from "./notice";
import { type About, type Checkpoint, isActive, type Status } from "./types";
import { chipOf, lastSeen, progressFacts, shareOf } from "./words";

interface HeaderProps {
  about: About;
  status: Status;
  checkpoints: Checkpoint[];
  /** Why it failed, or "". */
  why?: string;
}

export function Header({ about, status, checkpoints, why = "" }: HeaderProps) {
  const [send, waiting] = useCommand();
  const [asking, setAsking] = useState(false);
  const live = useLife() === "live";
  const chip = live ? chipOf(status) : lastSeen(status);
  const facts = progressFacts(status, live);
  const active = isActive(status.status);
  const resumable = ["interrupted", "stopped", "failed"].includes(status.status) && checkpoints.length > 0;
  const name = [about.method, about.model].filter(Boolean).join(" · ");
  const stopButton = useRef<HTMLSpanElement>(null);

  const answer = (kind: string | null) => {
    setAsking(false);
    if (kind !== null) {
      send(kind);
    }
    stopButton.current?.querySelector("button")?.focus();
  };

  return (
    <header class="run-header">
      <div class="snb-row">
        <Chip tone={chip.tone}>
          <span aria-hidden="true">{chip.symbol}</span>
          {chip.text}
        </Chip>
        {name && <h2>{name}</h2>}
        {about.start && <span class="snb-muted">from {about.start}</span>}
        <span class="run-id">
          <RunPicker shown={about.id} />
          <CopyButton text={about.id} label="Copy run id" />
        </span>
        <span class="snb-row snb-push">
          {status.status === "running" && !status.stopping && (
            <Button disabled={!live || waiting === "pause"} onClick={() => send("pause")}>
              {waiting === "pause" ? "Pausing" : "Pause"}
            </Button>
          )}
          {status.status === "paused" && !status.stopping && (
            <Button kind="primary" disabled={!live || waiting === "resume"} onClick={() => send("resume")}>
              Resume
            </Button>
          )}
          <Notice about={about} status={status} why={why} />
          {active && (
            <span ref={stopButton}>
              <Button
                disabled={!live || status.stopping || waiting === "stop" || waiting === "discard"}
                aria-expanded={asking}
                onClick={() => setAsking(!asking)}
              >
                {status.stopping || waiting === "stop" || waiting === "discard" ? "Stopping" : "Stop"}
              </Button>
            </span>
          )}
          {resumable && (
            <Button disabled={!live || waiting === "resume"} onClick={() => send("resume")}>
              Resume from step {checkpoints.at(-1)?.step}
            </Button>
          )}
        </span>
      </div>
      {asking && active && live && <StopQuestion answer={answer} />}
      <Progress
        label="Progress of the run"
        value={shareOf(status)}
        tone={chip.tone === "plain" ? "accent" : chip.tone}
      />
      {facts.length > 0 && (
        <ul class="run-facts">
          {facts.map((fact) => (
            <li key={fact.replace(/[\d:.,]+/g, "")}>{fact}</li>
          ))}
        </ul>
      )}
      <StatusLine hidden>{chip.text}</StatusLine>
      <Patience waiting={waiting} />
    </header>
  );
}

function StopQuestion({ answer }: { answer: (kind: string | null) => void }) {
  const group = useRef<HTMLDivElement>(null);
  useEffect(() => group.current?.querySelector("button")?.focus(), []);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would need a legend where the sentence stands
    <div
      class="run-question"
      role="group"
      aria-label="Stop this run?"
      ref={group}
      onKeyDown={(event) => event.key === "Escape" && answer(null)}
    >
      <p>
        <b>Stop this run?</b> Stop and save keeps what was learned so far. Discard ends it without saving.
      </p>
      <span class="snb-row">
        <Button kind="primary" onClick={() => answer("stop")}>
          Stop and save
        </Button>
        <Button kind="danger" onClick={() => answer("discard")}>
          Discard
        </Button>
        <Button kind="quiet" onClick={() => answer(null)}>
          Keep training
        </Button>
      </span>
    </div>
  );
}

const PATIENCE_MS = 2000;

/** Says so when the kernel does not answer: older front ends deliver nothing while a cell runs. */
function Patience({ waiting }: { waiting: string | null }) {
  const [late, setLate] = useState(false);
  useEffect(() => {
    setLate(false);
    if (waiting === null) {
      return;
    }
    const timer = setTimeout(() => setLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [waiting]);
  return late ? <StatusLine>The kernel has not answered yet: it is busy with a cell, or gone.</StatusLine> : null;
}
