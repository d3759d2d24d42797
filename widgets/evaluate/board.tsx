/** Who did best on a suite so far, over all kept evaluations, and which runs nobody has evaluated. */
import { useEffect } from "preact/hooks";
import { Field } from "../lib/controls";
import { clock, count, number } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { IntervalLine, range, score } from "./scores";
import type { Board, BoardEntry } from "./types";

export function Leaderboard({ busy, onOpen }: { busy: boolean; onOpen: () => void }) {
  const board = useTraitValue<Board | Record<string, never>>("board");
  const [send, waiting] = useCommand();
  useEffect(() => {
    send("show_board", { suite: board.suite ?? "" });
  }, []);
  if (!("suites" in board)) {
    return <p class="snb-muted">Reading what is kept</p>;
  }
  const { suites, suite, entries, runs } = board as Board;
  return (
    <div class="snb-stack">
      {suites.length === 0 ? (
        <p class="snb-empty snb-muted">Nothing evaluated yet.</p>
      ) : (
        <>
          <div class="evaluate-to">
            <Field label="Suite">
              {(ids) => (
                <select
                  {...ids}
                  class="snb-select"
                  value={suite}
                  disabled={waiting !== null}
                  onChange={(event) => send("show_board", { suite: event.currentTarget.value })}
                >
                  {suites.map((name) => (
                    <option key={name} value={name}>
                      {name}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          </div>
          {groups(entries).map((members, at) => (
            <Group key={at} entries={members} others={at > 0} busy={busy} onOpen={onOpen} />
          ))}
        </>
      )}
      {runs.length > 0 && (
        <p class="snb-muted">
          Not evaluated yet:{" "}
          {runs
            .map(({ id, eval_loss }) => `${id}${eval_loss === null ? "" : ` (eval loss ${number(eval_loss)})`}`)
            .join(", ")}
          .
        </p>
      )}
    </div>
  );
}

function groups(entries: BoardEntry[]): BoardEntry[][] {
  const found = new Map<number, BoardEntry[]>();
  for (const entry of entries) {
    found.set(entry.group, [...(found.get(entry.group) ?? []), entry]);
  }
  return [...found.values()];
}

interface GroupProps {
  entries: BoardEntry[];
  others: boolean;
  busy: boolean;
  onOpen: () => void;
}

function Group({ entries, others, busy, onOpen }: GroupProps) {
  const [send] = useCommand();
  return (
    <section class="snb-stack" aria-label={others ? "Other items" : "Leaderboard"}>
      {others && (
        <p class="snb-muted">Asked other items, or in another way: not to be compared with the table above.</p>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled by keyboard */}
      <section class="snb-tablewrap" tabIndex={0} aria-label={others ? "Scores on other items" : "Scores"}>
        <table class="snb-table">
          <thead>
            <tr>
              <th scope="col">Place</th>
              <th scope="col">Model</th>
              <th scope="col">Score</th>
              <th scope="col">Items</th>
              <th scope="col">Run</th>
              <th scope="col">Evaluation</th>
            </tr>
          </thead>
          <tbody>
            {entries.map((entry) => (
              <tr key={`${entry.evaluation}/${entry.side}`}>
                <td>{entry.place}</td>
                <th scope="row">
                  {entry.side}
                  {entry.model && entry.model !== entry.side && <small class="snb-muted">{entry.model}</small>}
                </th>
                <td>
                  <div class="evaluate-cell">
                    <span>
                      {score(entry.value, entry.share)} <small class="snb-muted">{range(entry, entry.share)}</small>
                    </span>
                    {entry.share && <IntervalLine {...entry} />}
                  </div>
                </td>
                <td>
                  {entry.graded === entry.items
                    ? count(entry.items)
                    : `${count(entry.graded)} of ${count(entry.items)}`}
                </td>
                <td>{entry.run === null ? "" : `${entry.run}${entry.step === null ? "" : `, step ${entry.step}`}`}</td>
                <td>
                  <button
                    type="button"
                    class="evaluate-open"
                    disabled={busy}
                    onClick={() => {
                      send("open", { name: entry.evaluation });
                      onOpen();
                    }}
                  >
                    {entry.evaluation}
                  </button>
                  <small class="snb-muted">{clock(entry.created)}</small>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </section>
  );
}
