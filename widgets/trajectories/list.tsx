/** The episodes that fit, a page at a time, with what they are searched, filtered and ordered by. */
import { Chip, Field, Progress } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { clock, count, counted, dollars, number } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { Pager, range } from "../lib/pager";
import { StatusLine } from "../lib/status-line";
import { useDraft } from "../lib/use-draft";
import { TrainOn } from "./train-on";
import { type Conversation, type Facets, kindWords, type Page, type Query, type Row, type Source } from "./types";

const SORTS: [string, string][] = [
  ["newest", "newest first"],
  ["oldest", "oldest first"],
  ["longest", "longest first"],
  ["shortest", "shortest first"],
  ["costliest", "most expensive first"],
  ["best", "best score first"],
  ["worst", "worst score first"],
];

export function Reading() {
  const source = useTraitValue<Source>("source");
  const facets = useTraitValue<Facets>("facets");
  if (source.stage === "failed" && source.error) {
    return <ErrorCard error={source.error} />;
  }
  const of = source.id ? ` of ${counted(source.calls ?? 0, "call")}` : "";
  const unanswered = source.unanswered ? `, ${counted(source.unanswered, "call")} without an answer` : "";
  const unread = source.unread ? `, ${counted(source.unread, "call")} that cannot be read` : "";
  const live = source.live && source.stage === "ready" ? "; new calls are added as they come" : "";
  return (
    <>
      <StatusLine>
        {source.stage === "reading"
          ? `Reading ${source.id}`
          : `${counted(facets.episodes ?? 0, "episode")}${of}${unanswered}${unread}${live}`}
      </StatusLine>
      {source.stage === "reading" && (
        <Progress
          label={`Calls read: ${count(source.read)} of ${count(source.calls)}`}
          value={source.calls ? (source.read ?? 0) / source.calls : null}
        />
      )}
    </>
  );
}

export function List() {
  const page = useTraitValue<Page>("page");
  const query = useTraitValue<Query>("query");
  const facets = useTraitValue<Facets>("facets");
  const source = useTraitValue<Source>("source");
  const conversation = useTraitValue<Conversation | Record<string, never>>("conversation");
  const [send] = useCommand();
  const rows = page.rows ?? [];
  const total = page.total ?? 0;
  const size = page.size ?? 20;
  const go = (offset: number, there: boolean) =>
    there ? () => send("query", { values: { offset: Math.max(0, offset) } }) : null;
  const [before, after] = [query.offset > 0, query.offset + size < total];
  if (!facets.episodes && source.stage !== "reading") {
    return (
      <p class="snb-empty snb-muted">
        No episodes yet. They appear once a call has an answer; press Read again for calls that came since.
      </p>
    );
  }
  return (
    <section class="snb-stack" aria-label="Episodes">
      <Filters query={query} facets={facets} />
      <TrainOn />
      {rows.length === 0 ? (
        <p class="snb-empty snb-muted">{facets.episodes ? "No episode fits." : "Reading the first calls…"}</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
        <section class="snb-tablewrap snb-tablewrap--tall" tabIndex={0} aria-label="List of episodes">
          <table class="snb-table">
            <thead>
              <tr>
                <th scope="col">Task</th>
                <th scope="col">Kind</th>
                <th scope="col" class="is-number">
                  Messages
                </th>
                <th scope="col">Tools</th>
                <th scope="col" class="is-number">
                  Tokens
                </th>
                <th scope="col" class="is-number">
                  Cost
                </th>
                {facets.scored && (
                  <th scope="col" class="is-number">
                    Score
                  </th>
                )}
                <th scope="col">Began</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <Line key={row.id} row={row} open={row.id === conversation.id} scored={facets.scored ?? false} />
              ))}
            </tbody>
          </table>
        </section>
      )}
      {(page.searched ?? 0) > 0 && (
        <p class="snb-muted" role="note">
          These words stand in more than {count(page.searched ?? 0)} calls: only the newest {count(page.searched ?? 0)}{" "}
          of those are looked at. Add words to find older ones.
        </p>
      )}
      {total > size && (
        <Pager
          label="Pages of episodes"
          back={[
            ["First", go(0, before)],
            ["Before", go(query.offset - size, before)],
          ]}
          shown={range(query.offset, size, total)}
          on={[
            ["Next", go(query.offset + size, after)],
            ["Last", go(Math.floor((total - 1) / size) * size, after)],
          ]}
        />
      )}
    </section>
  );
}

function Line({ row, open, scored }: { row: Row; open: boolean; scored: boolean }) {
  const [send] = useCommand();
  return (
    <tr class={open ? "is-open" : undefined}>
      <td class="trajectories-task">
        <button
          type="button"
          class="snb-link"
          aria-expanded={open}
          onClick={() => (open ? send("shut") : send("open", { episode: row.id }))}
        >
          {row.title || "(no text)"}
        </button>
        {row.last && <div class="snb-muted trajectories-last">{row.last}</div>}
      </td>
      <td class="trajectories-kinds">
        <Chip tone={row.kind === "episode" ? "plain" : "accent"}>{kindWords(row.kind)}</Chip>
        {!row.whole && <Chip tone="warn">broke off</Chip>}
      </td>
      <td class="is-number">{count(row.messages)}</td>
      <td>
        {row.tools.join(", ")}
        {row.tool_calls > row.tools.length && ` × ${count(row.tool_calls)}`}
      </td>
      <td class="is-number snb-nowrap">
        {count(row.tokens_in)} / {count(row.tokens_out)}
      </td>
      <td class="is-number">{dollars(row.cost)}</td>
      {scored && <td class="is-number">{number(row.score)}</td>}
      <td class="snb-nowrap">{clock(row.started_at)}</td>
    </tr>
  );
}

function Filters({ query, facets }: { query: Query; facets: Facets }) {
  const [send, waiting] = useCommand();
  const [search, editSearch, sentSearch] = useDraft(query.search, waiting !== null);
  const [least, editLeast, sentLeast] = useDraft(
    query.min_messages ? String(query.min_messages) : "",
    waiting !== null,
  );
  const ask = (values: Partial<Record<keyof Query, string | number>>) => send("query", { values });
  const sorts = facets.scored ? SORTS : SORTS.filter(([id]) => id !== "best" && id !== "worst");
  return (
    <div class="trajectories-filters">
      <Field label="Search">
        {(ids) => (
          <input
            {...ids}
            type="search"
            class="snb-input"
            placeholder="words of a message, an answer, a tool call"
            value={search}
            onInput={(event) => editSearch(event.currentTarget.value)}
            onChange={(event) => {
              sentSearch();
              ask({ search: event.currentTarget.value });
            }}
          />
        )}
      </Field>
      <Pick
        label="Kind"
        value={query.kind}
        options={Object.entries(facets.kinds ?? {}).map(([kind, n]) => [kind, `${kindWords(kind)} (${count(n)})`])}
        onChange={(kind) => ask({ kind })}
      />
      <Pick
        label="Tool"
        value={query.tool}
        options={(facets.tools ?? []).map((name) => [name, name])}
        onChange={(tool) => ask({ tool })}
      />
      <Pick
        label="Model"
        value={query.model}
        options={(facets.models ?? []).map((name) => [name, name])}
        onChange={(model) => ask({ model })}
      />
      <Field label="Messages, at least">
        {(ids) => (
          <input
            {...ids}
            type="number"
            min={0}
            class="snb-input"
            value={least}
            onInput={(event) => editLeast(event.currentTarget.value)}
            onChange={(event) => {
              sentLeast();
              ask({ min_messages: event.currentTarget.value });
            }}
          />
        )}
      </Field>
      <Pick label="Order" value={query.sort} options={sorts} onChange={(sort) => ask({ sort })} all={false} />
    </div>
  );
}

interface PickProps {
  label: string;
  value: string;
  options: [string, string][];
  onChange: (value: string) => void;
  all?: boolean;
}

function Pick({ label, value, options, onChange, all = true }: PickProps) {
  return (
    <Field label={label}>
      {(ids) => (
        <select {...ids} class="snb-select" value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          {all && <option value="">all</option>}
          {options.map(([id, text]) => (
            <option key={id} value={id}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
