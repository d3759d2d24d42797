/** The Judge panel: a model judges attempts at tasks, people judge some, and both say how far it can be trusted. */
import { useEffect, useRef } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CommandError } from "../lib/command-error";
import { Button, Progress } from "../lib/controls";
import { coverSnapshot } from "../lib/cover";
import { ErrorCard } from "../lib/error-card";
import { counted } from "../lib/format";
import { sendCommand, useCommand, usePanel, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { StatusLine } from "../lib/status-line";
import { JudgeForm } from "./form";
import { Groups } from "./groups";
import { Opened } from "./item";
import { MeasuredBy } from "./measured";
import { Result } from "./result";
import type { Item, Summary, Work } from "./types";
import "./judge.css";

function Judge() {
  const work = useTraitValue<Work>("work");
  const summary = useTraitValue<Summary | Record<string, never>>("summary");
  const item = useTraitValue<Item | Record<string, never>>("item");
  const { model } = usePanel();
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    sendCommand(model, "look"); // captures and variables may have come since the panel was made
  }, [model]);
  useEffect(() => (root.current === null ? undefined : coverSnapshot(root.current, "ShadowNB judge", () => {})), []);
  const judged = "groups" in summary;
  return (
    <div class="snb-stack" ref={root}>
      <h2>Judge</h2>
      <CommandError />
      <JudgeForm working={work.stage === "running" || work.stage === "stopping"} />
      <Working work={work} />
      {work.stage === "failed" && work.error && <ErrorCard error={work.error} />}
      {judged ? (
        <>
          <Result summary={summary as Summary} stopped={work.stage === "stopped"} />
          <MeasuredBy />
          <Groups />
          {"group" in item && <Opened item={item as Item} />}
        </>
      ) : (
        work.stage === "none" && (
          <p class="snb-empty snb-muted">
            Nothing was judged yet. Choose attempts and a judge: a model that is loaded here, or an endpoint. Of answers
            that a program can check, a scorer says more (Rewards).
          </p>
        )
      )}
      <AsCode
        title="the same judging"
        kinds={[
          ["python", "Python"],
          ["magic", "Magic"],
          ["shell", "Shell"],
        ]}
        missing="Shown once attempts and a judge are chosen. What a command can't say, the cell can."
      />
    </div>
  );
}

function Working({ work }: { work: Work }) {
  const [send] = useCommand();
  const going = work.stage === "running" || work.stage === "stopping";
  const { done = 0, total = 0 } = work;
  const words = total > 0 ? `${done} of ${counted(total, "prompt")}` : "Reading what is judged, opening the judge";
  return (
    <>
      <StatusLine>{work.stage === "stopping" ? "Stopping" : going ? `Judging: ${words}` : ""}</StatusLine>
      {going && (
        <div class="snb-row">
          <div class="judge-progress">
            <Progress label={`Prompts asked: ${words}`} value={total > 0 ? done / total : null} />
          </div>
          <Button kind="danger" small disabled={work.stage === "stopping"} onClick={() => send("stop")}>
            {work.stage === "stopping" ? "Stopping" : "Stop"}
          </Button>
        </div>
      )}
    </>
  );
}

export default definePanel(Judge, { label: "Judge" });
