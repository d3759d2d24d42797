/** The groups that were judged, a page at a time: where judge and people, or two orders, say different things first. */
import { Chip, Segmented } from "../lib/controls";
import { count } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { Pager, range } from "../lib/pager";
import { type Item, type Page, type Row, score } from "./types";

const SIZE = 15;
const KINDS = { people: "against people", ranking: "against a ranking", orders: "orders disagree" } as const;

export function Groups() {
  const page = useTraitValue<Page>("page");
  const item = useTraitValue<Item | Record<string, never>>("item");
  const [send] = useCommand();
  const { rows = [], filters = [], filter = "all", page: at = 0, pages = 1, count: total = 0 } = page;
  const go = (to: number) => (to >= 0 && to < pages ? () => send("browse", { page: to }) : null);
  return (
    <section class="snb-stack" aria-label="Judged groups">
      <Segmented
        label="Which groups"
        value={filter}
        options={filters.map(({ id, title, count: held }) => [id, `${title} (${count(held)})`] as const)}
        onChange={(id) => send("browse", { filter: id })}
      />
      {rows.length === 0 ? (
        <p class="snb-empty snb-muted">None.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
        <section class="snb-tablewrap snb-tablewrap--tall" tabIndex={0} aria-label="List of groups">
          <table class="snb-table">
            <thead>
              <tr>
                <th scope="col">Task</th>
                <th scope="col">Scores</th>
                <th scope="col">What is odd</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <Line key={row.group} row={row} open={row.group === item.group} />
              ))}
            </tbody>
          </table>
        </section>
      )}
      {pages > 1 && (
        <Pager
          label="Pages of groups"
          back={[["Before", go(at - 1)]]}
          shown={range(at * SIZE, SIZE, total)}
          on={[["Next", go(at + 1)]]}
        />
      )}
    </section>
  );
}

function Line({ row, open }: { row: Row; open: boolean }) {
  const [send] = useCommand();
  return (
    <tr class={open ? "is-open" : undefined}>
      <td class="judge-task">
        <button
          type="button"
          class="snb-link"
          aria-expanded={open}
          onClick={() => (open ? send("shut") : send("open", { group: row.group }))}
        >
          {row.task}
        </button>
      </td>
      <td class="snb-nowrap">{row.scores.map(score).join(", ")}</td>
      <td>
        {row.kind !== "" && <Chip tone={row.kind === "orders" ? "warn" : "bad"}>{KINDS[row.kind]}</Chip>} {row.what}
      </td>
    </tr>
  );
}
