/** A suite part by part: a mean a language, task or database, and where languages share problems a square each. */
import { useState } from "preact/hooks";
import { Button, Field, Fold, Segmented } from "../lib/controls";
import { count, MISSING } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { IntervalLine, range, score } from "./scores";
import { Squares } from "./squares";
import type { Cell, Grid, Part, SuiteSummary, Summary } from "./types";

type OnBrowse = (asked: Record<string, string>) => void;

export function Parts({ summary, onBrowse }: { summary: Summary; onBrowse: OnBrowse }) {
  const parted = summary.suites.filter((suite) => (suite.parts ?? []).length > 1);
  return (
    <>
      {parted.map((suite) => (
        <Fold key={suite.name} summary={`${suite.name}, part by part`}>
          <div class="snb-stack">
            <Table suite={suite} parts={suite.parts ?? []} sides={summary.sides} />
            {suite.has_grid && <Problems suite={suite.name} summary={summary} onBrowse={onBrowse} />}
          </div>
        </Fold>
      ))}
    </>
  );
}

function Table({ suite, parts, sides }: { suite: SuiteSummary; parts: Part[]; sides: string[] }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled by keyboard
    <section class="snb-tablewrap" tabIndex={0} aria-label={`Parts of ${suite.name}`}>
      <table class="snb-table evaluate-parts">
        <thead>
          <tr>
            <th scope="col">Part</th>
            {sides.map((side) => (
              <th key={side} scope="col">
                {side}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {parts.map(({ name, cells }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {sides.map((side) => (
                <td key={side}>
                  <PartMean cell={cells[side]} share={suite.share} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function PartMean({ cell, share }: { cell: Cell | undefined; share: boolean }) {
  if (cell === undefined) {
    return <>{MISSING}</>;
  }
  if (cell.value === null) {
    const words = Object.entries(cell.outcomes).map(([what, times]) => `${count(times)} ${what}`);
    return <span class="snb-muted">{words.join(", ") || MISSING}</span>;
  }
  return (
    <span class="evaluate-part">
      <span class="evaluate-score">{score(cell.value, share)}</span>
      <small class="snb-muted">
        {range(cell, share)}, {count(cell.graded)} items
      </small>
      {share && <IntervalLine {...cell} />}
    </span>
  );
}

const SHOWN = [
  ["all", "All problems"],
  ["uneven", "Differ by language"],
  ["changed", "Changed"],
] as const;

/** Problems by languages, once they are asked for. */
function Problems({ suite, summary, onBrowse }: { suite: string; summary: Summary; onBrowse: OnBrowse }) {
  const grid = useTraitValue<Grid | Record<string, never>>("grid");
  const [send, waiting] = useCommand();
  const [shown, setShown] = useState<string>("all");
  const open = "lines" in grid && grid.suite === suite ? (grid as Grid) : null;
  const last = summary.sides[summary.sides.length - 1] ?? "";
  if (open === null) {
    return (
      <div class="snb-row">
        <Button small disabled={waiting !== null} onClick={() => send("show_grid", { suite, side: last })}>
          Problems by language
        </Button>
      </div>
    );
  }
  return (
    <section class="snb-stack" aria-label={`Problems of ${suite} by language`}>
      <div class="evaluate-which">
        <Field label="Model">
          {(ids) => (
            <select
              {...ids}
              class="snb-select"
              value={open.side}
              onChange={(event) => send("show_grid", { suite, side: event.currentTarget.value })}
            >
              {summary.sides.map((side) => (
                <option key={side} value={side}>
                  {side}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Segmented
          label="Problems"
          value={shown}
          options={open.side === open.to ? SHOWN.slice(0, 2) : SHOWN}
          onChange={setShown}
        />
      </div>
      <Squares
        grid={open}
        shown={open.side === open.to && shown === "changed" ? "all" : shown}
        onOpen={(item) => onBrowse({ suite, side: open.side, to: open.to, filter: "all", item })}
      />
    </section>
  );
}
