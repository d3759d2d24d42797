/** What each column of the rows is read as, what was not read, and the choice to read or leave it out. */
import { useEffect, useState } from "preact/hooks";
import { Fold } from "./controls";
import { count } from "./format";
import { useCommand } from "./model";
import "./columns.css";

/** A column of the rows, or a key of their messages, and how it is read. */
export interface Column {
  name: string;
  /** The known column it stands for, "ignore", or "" for what its own name says. */
  target: string;
  key: boolean;
  unread: { rows: number; kind: string; example: string; refuses: boolean } | null;
}

/** How rows are read, as shadownb/panels/_choices.py describes it. */
export interface Reading {
  columns?: Column[];
  targets?: string[];
  left_out?: string[];
}

export function Columns({ data, failed }: { data: Reading; failed: boolean }) {
  const columns = data.columns ?? [];
  const left = data.left_out ?? [];
  const refuses = failed || columns.some((column) => column.unread?.refuses);
  const [open, setOpen] = useState(false);
  // It opens where rows are refused, and stays open while they are mended one column after the other.
  useEffect(() => {
    if (refuses) setOpen(true);
  }, [refuses]);
  if (columns.length === 0) {
    return null;
  }
  const unread = columns.filter((column) => column.unread !== null).length;
  const read = failed ? "none is read yet" : "all are read";
  const summary = `Columns: ${unread === 0 ? read : `${count(unread)} of ${count(columns.length)} not read`}`;
  return (
    <Fold summary={summary} open={open} onToggle={setOpen}>
      <div class="snb-tablewrap">
        <table class="snb-table snb-columns">
          <thead>
            <tr>
              <th scope="col">Column</th>
              <th scope="col">Read as</th>
              <th scope="col">What is not read</th>
            </tr>
          </thead>
          <tbody>
            {columns.map((column) => (
              <Line key={column.name} column={column} targets={data.targets ?? []} />
            ))}
          </tbody>
        </table>
      </div>
      {left.length > 0 && <p class="snb-muted">Left out: {left.join(", ")}</p>}
    </Fold>
  );
}

function Line({ column, targets }: { column: Column; targets: string[] }) {
  const [send, waiting] = useCommand();
  return (
    <tr>
      <th scope="row">{column.name}</th>
      <td>
        <select
          class="snb-select"
          aria-label={`Read ${column.name} as`}
          value={column.target}
          disabled={waiting === "map_column"}
          onChange={(event) => send("map_column", { column: column.name, target: event.currentTarget.value })}
        >
          <option value="">by its name</option>
          {!column.key &&
            targets.map((target) => (
              <option key={target} value={target}>
                {target}
              </option>
            ))}
          <option value="ignore">leave out</option>
        </select>
      </td>
      <td>{column.unread === null ? "" : said(column.unread)}</td>
    </tr>
  );
}

function said(unread: NonNullable<Column["unread"]>): string {
  const rows = `${count(unread.rows)} ${unread.rows === 1 ? "row" : "rows"}`;
  const what = unread.refuses ? `${rows} refused: ${unread.kind}` : `${rows}: ${unread.kind}`;
  return unread.example ? `${what} (${unread.example})` : what;
}
