/** The facts as a table: what each says, whether its question finds it, and how it was last recalled. */
import { Button, Chip } from "../lib/controls";
import { number } from "../lib/format";
import { useCommand } from "../lib/model";
import type { FactRow, Recalled } from "./types";

interface Props {
  rows: FactRow[];
  count: number;
  working: boolean;
  edited: FactRow | null;
  edit: (row: FactRow | null) => void;
}

export function FactTable({ rows, count, working, edited, edit }: Props) {
  const [send] = useCommand();
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long table is scrolled by keyboard */}
      <div class="snb-tablewrap facts-table" tabIndex={0}>
        <table class="snb-table">
          <thead>
            <tr>
              <th scope="col">Question</th>
              <th scope="col">Answer</th>
              <th scope="col">Source</th>
              <th scope="col">Found by its question</th>
              <th scope="col">Recalled</th>
              <th scope="col">
                <span class="snb-hidden">Change</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.question} aria-current={row.question === edited?.question ? "true" : undefined}>
                <td class="facts-cell">{row.question}</td>
                <td class="facts-cell">{row.answer}</td>
                <td class="facts-cell">{row.source || "--"}</td>
                <td>
                  <Chip tone={row.found ? "good" : "bad"}>{row.found ? "found" : "not found"}</Chip>{" "}
                  <span class="snb-muted">{number(row.score, 2)}</span>
                </td>
                <td class="facts-cell">
                  <Recall recalled={row.recalled} />
                </td>
                <td>
                  <div class="facts-actions">
                    <Button small disabled={working} aria-label={`Edit: ${row.question}`} onClick={() => edit(row)}>
                      Edit
                    </Button>
                    <Button
                      small
                      kind="danger"
                      disabled={working}
                      aria-label={`Remove: ${row.question}`}
                      onClick={() => {
                        if (edited?.question === row.question) edit(null);
                        send("remove", { which: row.question });
                      }}
                    >
                      Remove
                    </Button>
                  </div>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {count > rows.length && (
        <p class="snb-muted">The first {rows.length} are shown. Ask below: every fact is looked at.</p>
      )}
    </>
  );
}

function Recall({ recalled }: { recalled: Recalled | null }) {
  if (recalled === null) {
    return <>--</>;
  }
  const whole = recalled.verbatim && recalled.paraphrased === recalled.of;
  return (
    <>
      <Chip tone={whole ? "good" : recalled.verbatim ? "warn" : "bad"}>
        {recalled.verbatim ? "word for word" : "not recalled"}
      </Chip>{" "}
      <span class="snb-muted">
        {recalled.paraphrased} of {recalled.of} in other words
      </span>
      {!recalled.verbatim && (
        <div class="facts-said" title={recalled.said}>
          It says: {recalled.said === "" ? "(nothing)" : recalled.said}
        </div>
      )}
    </>
  );
}
