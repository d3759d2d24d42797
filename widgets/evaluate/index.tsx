/** The Evaluate panel: choose models and suites, watch them being asked, see what got worse, and who did best so far. */
import { useEffect, useRef, useState } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CommandError } from "../lib/command-error";
import { Button, Chip, Field, Fold, Progress, Tabs } from "../lib/controls";
import { coverSnapshot } from "../lib/cover";
import { ErrorCard } from "../lib/error-card";
import { clock } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { StatusLine } from "../lib/status-line";
import { Leaderboard } from "./board";
import { Choose } from "./choose";
import { Items } from "./items";
import { Result } from "./result";
import type { Choices, Chosen, EvaluationProgress, Work } from "./types";
import { Working } from "./working";
import "./evaluate.css";

function Evaluate() {
  const work = useTraitValue<Work>("work");
  const shown = useTraitValue<string>("shown");
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => (root.current === null ? undefined : coverSnapshot(root.current, "ShadowNB evaluate", () => {})), []);
  const busy = work.stage === "preparing" || work.stage === "running" || work.stage === "stopping";
  const [choosing, setChoosing] = useState(shown === "" && !busy);
  useEffect(() => {
    if (busy) setChoosing(false);
  }, [busy]);
  return (
    <div class="snb-stack" ref={root}>
      <div class="snb-row">
        <h2>Evaluate</h2>
        <Kept busy={busy} shown={shown} />
      </div>
      <Fold summary="Models, suites and options" open={choosing} onToggle={setChoosing}>
        <Choose busy={busy} />
      </Fold>
      <Start work={work} busy={busy} />
      <CommandError />
      {work.stage === "failed" && work.error && <ErrorCard error={work.error} />}
      {work.stage === "preparing" && <Progress label={work.text ?? "Preparing"} value={null} />}
      {shown !== "" && <Shown busy={busy} />}
      {shown === "" && <NothingYet busy={busy} />}
      <AsCode
        title="the same evaluation"
        kinds={[
          ["python", "Python"],
          ["magic", "Magic"],
        ]}
        missing="Shown once models and suites are chosen."
      />
    </div>
  );
}

function Kept({ busy, shown }: { busy: boolean; shown: string }) {
  const kept = useTraitValue<Choices>("choices").kept ?? [];
  const [send] = useCommand();
  if (kept.length === 0) {
    return null;
  }
  const listed = kept.some(({ name }) => name === shown);
  return (
    <div class="snb-push evaluate-kept">
      <Field label="Kept evaluations">
        {(ids) => (
          <select
            {...ids}
            class="snb-select"
            value={listed ? shown : ""}
            disabled={busy}
            onChange={(event) => event.currentTarget.value && send("open", { name: event.currentTarget.value })}
          >
            <option value="">Open one</option>
            {kept.map(({ name, about, created }) => (
              <option key={name} value={name}>
                {name}: {about} ({clock(created)})
              </option>
            ))}
          </select>
        )}
      </Field>
    </div>
  );
}

function Start({ work, busy }: { work: Work; busy: boolean }) {
  const chosen = useTraitValue<Chosen>("chosen");
  const [send, waiting] = useCommand();
  const missing = [chosen.models.length === 0 && "models", chosen.suites.length === 0 && "suites"].filter(Boolean);
  const wrong = Object.keys(chosen.problems).length > 0;
  return (
    <div class="snb-row">
      {busy ? (
        <Button disabled={work.stage === "stopping"} onClick={() => send("stop")}>
          {work.stage === "stopping" ? "Stopping" : "Stop"}
        </Button>
      ) : (
        <Button
          kind="primary"
          disabled={missing.length > 0 || wrong || waiting === "start"}
          onClick={() => send("start")}
        >
          Evaluate
        </Button>
      )}
      <span class="snb-muted">
        {busy
          ? ""
          : missing.length > 0
            ? `Choose ${missing.join(" and ")}.`
            : wrong
              ? "An option is wrong."
              : `${chosen.models.length} model${chosen.models.length === 1 ? "" : "s"}, ${chosen.suites.length} suite${
                  chosen.suites.length === 1 ? "" : "s"
                }.`}
      </span>
    </div>
  );
}

const STATUS = {
  working: ["at work", "accent"],
  complete: ["complete", "good"],
  incomplete: ["not finished", "warn"],
} as const;

function Shown({ busy }: { busy: boolean }) {
  const progress = useTraitValue<EvaluationProgress>("progress");
  const shown = useTraitValue<string>("shown");
  const [tab, setTab] = useState("result");
  const [asked, setAsked] = useState(false);
  const [send, waiting] = useCommand();
  const [words, tone] = STATUS[progress.status ?? "incomplete"];
  const failed = (progress.suites ?? []).reduce((sum, suite) => sum + suite.failed, 0);
  const goesOn = !busy && progress.status !== "working" && (progress.status === "incomplete" || failed > 0);
  return (
    <>
      <section class="snb-row" aria-label="Evaluation">
        <strong>{shown}</strong>
        <Chip tone={tone}>{words}</Chip>
        <StatusLine hidden>
          {shown} is {words}
        </StatusLine>
        {goesOn && (
          <Button small disabled={waiting === "go_on"} onClick={() => send("go_on")}>
            {progress.status === "incomplete" ? "Go on" : "Ask again what got no answer"}
          </Button>
        )}
      </section>
      {progress.status !== "complete" && <Working />}
      <Tabs
        label="Evaluation"
        selected={tab}
        onSelect={setTab}
        tabs={[
          {
            id: "result",
            title: "Result",
            body: () => (
              <Result
                onBrowse={(wanted) => {
                  send("browse", wanted);
                  setAsked(true);
                  setTab("items");
                }}
              />
            ),
          },
          { id: "items", title: "Items", body: () => <Items asked={asked} /> },
          {
            id: "board",
            title: "Leaderboard",
            body: () => <Leaderboard busy={busy} onOpen={() => setTab("result")} />,
          },
        ]}
      />
    </>
  );
}

function NothingYet({ busy }: { busy: boolean }) {
  const kept = useTraitValue<Choices>("choices").kept ?? [];
  const [open, setOpen] = useState(false);
  if (busy) {
    return null;
  }
  return (
    <>
      <p class="snb-empty snb-muted">
        Models answer the same items of each suite. What got worse is shown first, each mean with its interval. Nothing
        that was answered is lost when it breaks off.
      </p>
      {kept.length > 0 && (
        <Fold summary="Leaderboard" open={open} onToggle={setOpen}>
          {open && <Leaderboard busy={busy} onOpen={() => setOpen(false)} />}
        </Fold>
      )}
    </>
  );
}

export default definePanel(Evaluate, { label: "Evaluate" });
