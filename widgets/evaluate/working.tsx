/** How far an evaluation is: a line a suite, with the time that is left and the intervals as they become narrower. */
import { Chip, Progress } from "../lib/controls";
import { count, duration } from "../lib/format";
import { useTraitValue } from "../lib/model";
import { Funnel, IntervalLine, range, score } from "./scores";
import type { EvaluationProgress, Narrowing, SuiteProgress, SuiteSummary, Summary } from "./types";

const WORDS: Record<SuiteProgress["state"], string> = {
  waiting: "waits",
  working: "at work",
  done: "done",
  refused: "could not be asked",
  missing: "not finished",
};
const TONES: Record<SuiteProgress["state"], "plain" | "accent" | "good" | "warn" | "bad"> = {
  waiting: "plain",
  working: "accent",
  done: "good",
  refused: "bad",
  missing: "warn",
};

export function Working() {
  const progress = useTraitValue<EvaluationProgress>("progress");
  const summary = useTraitValue<Summary | Record<string, never>>("summary");
  const narrowing = useTraitValue<Narrowing>("narrowing");
  const numbers = "suites" in summary ? (summary as Summary) : null;
  return (
    <ol class="evaluate-progress" aria-label="Progress by suite">
      {(progress.suites ?? []).map((suite) => (
        <li key={suite.suite}>
          <div class="snb-row">
            <strong>{suite.suite}</strong>
            <Chip tone={TONES[suite.state]}>{WORDS[suite.state]}</Chip>
            <span class="snb-muted snb-push">{told(suite)}</span>
          </div>
          <Progress
            label={`${suite.suite}: answered`}
            value={suite.total === 0 ? 0 : suite.done / suite.total}
            tone={suite.state === "done" ? "good" : suite.state === "refused" ? "bad" : "accent"}
          />
          {suite.refused && <p class="snb-field-error">{suite.refused}</p>}
          {numbers && progress.status === "working" && (
            <Sides
              suite={numbers.suites.find(({ name }) => name === suite.suite)}
              sides={numbers.sides}
              narrowing={narrowing}
            />
          )}
        </li>
      ))}
    </ol>
  );
}

function told({ done, total, failed, eta, state }: SuiteProgress): string {
  const parts = [`${count(done)} of ${count(total)} answers`];
  if (failed > 0) {
    parts.push(`${count(failed)} without an answer`);
  }
  if (state === "working" && eta !== null) {
    parts.push(`about ${duration(eta)} left`);
  }
  return parts.join(", ");
}

interface SidesProps {
  suite: SuiteSummary | undefined;
  sides: string[];
  narrowing: Narrowing;
}

function Sides({ suite, sides, narrowing }: SidesProps) {
  const begun = sides.filter((side) => suite?.cells[side]?.value !== null && suite?.cells[side] !== undefined);
  if (suite === undefined || begun.length === 0) {
    return null;
  }
  return (
    <ul class="evaluate-sides">
      {begun.map((side) => {
        const cell = suite.cells[side];
        return cell === undefined ? null : (
          <li key={side}>
            <span class="evaluate-side">{side}</span>
            <span class="evaluate-score">{score(cell.value, suite.share)}</span>
            {suite.share && <IntervalLine {...cell} />}
            <span class="snb-muted evaluate-range">
              {range(cell, suite.share)}, {count(cell.graded)} items
            </span>
            <Funnel
              points={narrowing[`${suite.name}/${side}`] ?? []}
              share={suite.share}
              label={`Interval of ${side} on ${suite.name}`}
            />
          </li>
        );
      })}
    </ul>
  );
}
