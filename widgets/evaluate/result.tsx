/** What came out: what got worse first, then models by suites with intervals and paired differences. */
import { useState } from "preact/hooks";
import { Button, Field, Fold } from "../lib/controls";
import { count, MISSING } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { Parts } from "./parts";
import { chance, gap, IntervalLine, range, score } from "./scores";
import type { Cell, Difference, Findings, SuiteSummary, Summary } from "./types";

export function Result({ onBrowse }: { onBrowse: (asked: Record<string, string>) => void }) {
  const summary = useTraitValue<Summary>("summary");
  const findings = useTraitValue<Findings>("findings");
  const others = summary.sides.filter((side) => side !== summary.to);
  return (
    <div class="snb-stack">
      <Said title="What changed" lines={findings.changed ?? []} />
      <Said title="What is missing" lines={findings.missing ?? []} warn />
      {others.length > 0 && <ComparedWith summary={summary} />}
      <Matrix summary={summary} others={others} onBrowse={onBrowse} />
      <Parts summary={summary} onBrowse={onBrowse} />
      {others.length > 0 && (
        <p class="snb-muted">
          Intervals hold 95 %. p is the sign test, corrected for {count(summary.suites.length)} suite
          {summary.suites.length === 1 ? "" : "s"} (Holm).
        </p>
      )}
      <Details summary={summary} />
      <Reports />
    </div>
  );
}

function Said({ title, lines, warn = false }: { title: string; lines: string[]; warn?: boolean }) {
  if (lines.length === 0) {
    return null;
  }
  return (
    <section class={`evaluate-said${warn ? " is-warning" : ""}`} aria-label={title}>
      <ul>
        {lines.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
    </section>
  );
}

function ComparedWith({ summary }: { summary: Summary }) {
  const [send] = useCommand();
  return (
    <div class="evaluate-to">
      <Field label="Compared with">
        {(ids) => (
          <select
            {...ids}
            class="snb-select"
            value={summary.to}
            onChange={(event) => send("compare_to", { side: event.currentTarget.value })}
          >
            {summary.sides.map((side) => (
              <option key={side} value={side}>
                {side}
              </option>
            ))}
          </select>
        )}
      </Field>
    </div>
  );
}

interface MatrixProps {
  summary: Summary;
  others: string[];
  onBrowse: (asked: Record<string, string>) => void;
}

function Matrix({ summary, others, onBrowse }: MatrixProps) {
  const sides = [summary.to, ...others];
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled by keyboard
    <section class="snb-tablewrap" tabIndex={0} aria-label="Models by suites">
      <table class="snb-table evaluate-matrix">
        <thead>
          <tr>
            <th scope="col">Suite</th>
            {sides.map((side) => (
              <th key={side} scope="col">
                {side}
                <Origin summary={summary} side={side} />
              </th>
            ))}
            {others.map((side) => (
              <th key={side} scope="col">
                {side} minus {summary.to}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {summary.suites.map((suite) => (
            <tr key={suite.name}>
              <th scope="row">
                {suite.name}
                <small class="snb-muted">{count(suite.items)} items</small>
              </th>
              {sides.map((side) => (
                <td key={side}>
                  <Mean cell={suite.cells[side]} suite={suite} />
                </td>
              ))}
              {others.map((side) => (
                <td key={side}>
                  <Gap
                    difference={suite.differences[side]}
                    suite={suite}
                    onWorse={() => onBrowse({ suite: suite.name, side, to: summary.to, filter: "worse" })}
                  />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Origin({ summary, side }: { summary: Summary; side: string }) {
  const origin = summary.origins[side] ?? {};
  const text = origin.run
    ? `${origin.run}${origin.step === undefined ? "" : `, step ${origin.step}`}`
    : (origin.endpoint ?? origin.model ?? "");
  return text === "" || text === side ? null : <small class="snb-muted">{text}</small>;
}

function Mean({ cell, suite }: { cell: Cell | undefined; suite: SuiteSummary }) {
  if (cell === undefined || cell.value === null) {
    return <>{MISSING}</>;
  }
  const missing = [
    cell.unanswered > 0 && `${count(cell.unanswered)} without an answer`,
    cell.ungraded > 0 && `${count(cell.ungraded)} not graded`,
    cell.graded < suite.items && cell.unanswered === 0 && cell.ungraded === 0 && `${count(cell.graded)} items so far`,
  ].filter((text): text is string => text !== false);
  return (
    <div class="evaluate-cell">
      <span>{score(cell.value, suite.share)}</span>
      <small class="snb-muted">{range(cell, suite.share)}</small>
      {suite.share && <IntervalLine {...cell} />}
      {missing.map((text) => (
        <small key={text} class="evaluate-missing">
          {text}
        </small>
      ))}
    </div>
  );
}

const VERDICTS = { better: "better", worse: "worse", undecided: "cannot be said", "": "not compared" };

interface GapProps {
  difference: Difference | undefined;
  suite: SuiteSummary;
  onWorse: () => void;
}

function Gap({ difference, suite, onWorse }: GapProps) {
  if (difference === undefined || difference.value === null) {
    return <>{MISSING}</>;
  }
  return (
    <div class="evaluate-cell">
      <span class={`evaluate-gap is-${difference.direction}`}>{gap(difference, suite.share)}</span>
      <small class="snb-muted">
        {VERDICTS[difference.direction]}, {chance(difference.p)}
      </small>
      <small class="snb-muted">
        {count(difference.wins)} better, {count(difference.losses)} worse, {count(difference.ties)} the same
      </small>
      {difference.direction === "undecided" && difference.needed !== null && difference.needed > difference.items && (
        <small class="snb-muted">about {count(difference.needed)} items would show it</small>
      )}
      {difference.losses > 0 && (
        <Button small kind="quiet" onClick={onWorse}>
          What got worse on {suite.name}
        </Button>
      )}
    </div>
  );
}

/** What the means do not show: how answers failed, how many were cut, what hangs on extraction. */
function Details({ summary }: { summary: Summary }) {
  const lines = summary.suites.flatMap((suite) =>
    summary.sides.flatMap((side) => {
      const cell = suite.cells[side];
      const words = cell === undefined ? [] : detailsOf(cell);
      return words.length === 0 ? [] : [{ suite: suite.name, side, words }];
    }),
  );
  if (lines.length === 0) {
    return null;
  }
  return (
    <Fold summary="How answers came out">
      <div class="snb-tablewrap">
        <table class="snb-table">
          <thead>
            <tr>
              <th scope="col">Suite</th>
              <th scope="col">Model</th>
              <th scope="col">Answers</th>
            </tr>
          </thead>
          <tbody>
            {lines.map(({ suite, side, words }) => (
              <tr key={`${suite}/${side}`}>
                <th scope="row">{suite}</th>
                <td>{side}</td>
                <td>{words.join(", ")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Fold>
  );
}

function detailsOf(cell: Cell): string[] {
  const counts = { ...cell.outcomes, ...cell.notes };
  const words = Object.entries(counts).map(([what, times]) => `${count(times)} ${what}`);
  if (cell.by_extraction > 0) {
    const rules = Object.entries(cell.rules).map(([rule, value]) => `${rule} ${(100 * value).toFixed(1)} %`);
    words.push(`${count(cell.by_extraction)} verdicts hang on extraction (${rules.join(", ")})`);
  }
  return words;
}

function Reports() {
  const saved = useTraitValue<string>("saved");
  const [send, waiting] = useCommand();
  const [asked, setAsked] = useState(false);
  const save = (form: string) => {
    setAsked(true);
    send("save_report", { form });
  };
  return (
    <div class="snb-row">
      <Button small disabled={waiting !== null} onClick={() => save("html")}>
        Save as HTML
      </Button>
      <Button small disabled={waiting !== null} onClick={() => save("md")}>
        Save as Markdown
      </Button>
      {saved !== "" && (
        <span role="status" class="snb-muted">
          {asked ? "Written to" : "Last written to"} <code>{saved}</code>
        </span>
      )}
    </div>
  );
}
