/** What each column is read as: a suggestion on the first rows, what was said before, and what is refused and why. */
import { Columns } from "../lib/columns";
import { Button, Fold } from "../lib/controls";
import { clock, count, counted } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { RowParts } from "../lib/row-parts";
import type { HowRead, PartOf, Suggestion } from "./types";

export function HowColumnsAreRead() {
  const reading = useTraitValue<HowRead>("reading");
  const working = useTraitValue<string>("working");
  const [send, waiting] = useCommand();
  return (
    <section class="snb-stack" aria-label="Columns">
      {reading.suggestion && <Suggested suggestion={reading.suggestion} busy={working !== "" || waiting !== null} />}
      {reading.raw && !reading.suggestion && (
        <p>
          No column is known, and none tells by its name or its texts what it is. Say below which is the prompt and
          which the completion.
        </p>
      )}
      <Columns data={reading} failed={reading.raw === true} />
      {reading.remembered ? (
        <div class="snb-row">
          <span class="snb-muted">
            Remembered since {clock(reading.remembered)}: the next table with these headers is read in this way.
          </span>
          <Button small onClick={() => send("forget_columns")}>
            Forget it
          </Button>
        </div>
      ) : null}
      <Refused reading={reading} />
    </section>
  );
}

function Suggested({ suggestion, busy }: { suggestion: Suggestion; busy: boolean }) {
  const [send] = useCommand();
  return (
    <section class="snb-stack data-suggested" aria-label="Suggested columns">
      <p>The columns may be meant so, by their names and what stands in them:</p>
      <div class="snb-tablewrap">
        <table class="snb-table">
          <thead>
            <tr>
              <th scope="col">Column</th>
              <th scope="col">Read as</th>
              <th scope="col">Because</th>
            </tr>
          </thead>
          <tbody>
            {suggestion.columns.map(([name, target, reason]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{target === "ignore" ? "left out" : target}</td>
                <td>{reason}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="snb-muted">First rows, read so:</p>
      <ol class="snb-rows">
        {suggestion.preview.map((parts, at) => (
          <li key={at}>
            <RowParts parts={parts} />
          </li>
        ))}
      </ol>
      <div class="snb-row">
        <Button kind="primary" disabled={busy} onClick={() => send("map_as_suggested")}>
          Read them so
        </Button>
        <span class="snb-muted">
          {count(suggestion.valid)} of {counted(suggestion.rows, "row")} can be used then. Or choose below.
        </span>
      </div>
    </section>
  );
}

function Refused({ reading }: { reading: HowRead }) {
  const [send] = useCommand();
  const parts = useTraitValue<PartOf[]>("parts");
  const counts = reading.counts ?? [];
  // A line that could not be read is no row that could be taken out.
  const rows = parts.some((part) => part.rows > part.valid);
  if (counts.length === 0) {
    return null;
  }
  return (
    <Fold summary={`${counted(reading.bad_count ?? 0, "row")} can't be used`} open>
      <div class="snb-stack">
        <ul class="data-refused">
          {counts.map(([reason, rows]) => (
            <li key={reason}>
              <b>{count(rows)}</b> {reason}
            </li>
          ))}
        </ul>
        <Fold summary="Which">
          <ul class="data-refused">
            {(reading.bad ?? []).map((row) => (
              <li key={`${row.place} ${row.row}`}>
                <b>
                  {row.place} {row.row}
                </b>{" "}
                {row.reason}
              </li>
            ))}
            {(reading.bad_count ?? 0) > (reading.bad ?? []).length && (
              <li class="snb-muted">and {count((reading.bad_count ?? 0) - (reading.bad ?? []).length)} more</li>
            )}
          </ul>
        </Fold>
        <div class="snb-row">
          {rows && (
            <Button small onClick={() => send("leave_unusable")}>
              Take them out
            </Button>
          )}
          <span class="snb-muted">Training leaves them out in any case.</span>
        </div>
      </div>
    </Fold>
  );
}
