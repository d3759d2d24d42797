/** The Run panel: what a run does now, its curves, and the buttons that steer it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { CommandError } from "../lib/command-error";
import { Tabs } from "../lib/controls";
import { CodeBlock } from "../lib/copy-code";
import { coverSnapshot } from "../lib/cover";
import { ErrorCard } from "../lib/error-card";
import { type Finish, FinishButtons } from "../lib/finish";
import { type ErrorInfo, usePanel, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { StatusLine } from "../lib/status-line";
import { AnswerTable } from "./answers";
import { Charts } from "./charts";
import { Checkpoints } from "./checkpoints";
import { Code, Samples, Warnings } from "./details";
import { Header } from "./header";
import { RecordDetails } from "./record";
import { curvesOf, follow } from "./store";
import type { Status, Warning } from "./types";
import {
  type About,
  type Answers,
  type ChartInfo,
  type Checkpoint,
  isActive,
  type RunRecord,
  type Sample,
} from "./types";
import "./run.css";

function Run() {
  const { model } = usePanel();
  const about = useTraitValue<About>("about");
  const status = useTraitValue<Status>("status");
  const charts = useTraitValue<ChartInfo[]>("charts");
  const record = useTraitValue<RunRecord>("record");
  const samples = useTraitValue<Sample[]>("samples");
  const answers = useTraitValue<Answers>("answers");
  const checkpoints = useTraitValue<Checkpoint[]>("checkpoints");
  const warnings = useTraitValue<Warning[]>("warnings");
  const failure = useTraitValue<ErrorInfo | Record<string, never>>("failure");
  const code = useTraitValue<Record<string, string>>("code");
  const finishes = useTraitValue<Finish[] | undefined>("finishes") ?? [];
  const scored = answers.steps.length > 0;
  const [picked, setTab] = useState("");
  const tab = picked || (scored ? "answers" : "samples");
  const root = useRef<HTMLDivElement>(null);
  const [kept, setKept] = useState<string | null>(null);
  useEffect(
    () => (root.current === null ? undefined : coverSnapshot(root.current, `ShadowNB run ${about.id}`, setKept)),
    [about.id],
  );
  const newest = warnings.at(-1);
  return (
    <div class="snb-stack" ref={root}>
      <Header about={about} status={status} checkpoints={checkpoints} why={"what" in failure ? failure.what : ""} />
      <CommandError />
      {"what" in failure && <ErrorCard error={failure as ErrorInfo} />}
      {status.status === "interrupted" && (
        <p class="run-note">
          The process that trained this run is gone. What was learned since the last checkpoint is lost; Resume goes on
          from there.
        </p>
      )}
      <FinishButtons run={about.id} actions={finishes.filter(({ id }) => id !== "resume")} />
      <Charts curves={curvesOf(model)} status={status} extra={charts} />
      <StalePicture kept={kept} ended={!isActive(status.status)} />
      <Tabs
        label="Details of the run"
        selected={tab}
        onSelect={setTab}
        tabs={[
          ...(scored
            ? [
                {
                  id: "answers",
                  title: "Scored answers",
                  body: () => <AnswerTable answers={answers} ended={!isActive(status.status)} />,
                },
              ]
            : []),
          {
            id: "samples",
            title: "Samples",
            body: () => <Samples samples={samples} ended={!isActive(status.status)} start={about.start ?? ""} />,
          },
          {
            id: "checkpoints",
            title: "Checkpoints",
            count: checkpoints.length,
            body: () => <Checkpoints checkpoints={checkpoints} />,
          },
          { id: "warnings", title: "Warnings", count: warnings.length, body: () => <Warnings warnings={warnings} /> },
          { id: "record", title: "Estimate and record", body: () => <RecordDetails record={record} status={status} /> },
          { id: "code", title: "Code", body: () => <Code code={code} /> },
        ]}
      />
      <StatusLine hidden>{newest ? `Warning: ${newest.what}` : ""}</StatusLine>
    </div>
  );
}

const SETTLE_MS = 3000; // in which the last picture of a run arrives

/** Says so when the notebook keeps an old picture: a page that was loaded again gets no updates of older outputs. */
function StalePicture({ kept, ended }: { kept: string | null; ended: boolean }) {
  const pictured = useTraitValue<string>("pictured");
  const code = useTraitValue<Record<string, string>>("code");
  const stale = ended && kept !== null && pictured !== "" && !kept.includes(pictured);
  const [shown, setShown] = useState(false);
  useEffect(() => {
    setShown(false);
    if (!stale) {
      return;
    }
    const timer = setTimeout(() => setShown(true), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [stale]);
  return shown ? (
    <div class="run-note">
      <p>
        The picture that is kept in the notebook is of an earlier moment: the page was loaded again while the run went
        on. This cell keeps the final one:
      </p>
      <CodeBlock title="Keep the final picture" code={code.keep ?? ""} />
    </div>
  ) : null;
}

export default definePanel(Run, { label: "Run", setup: follow, partlyLocal: true });
