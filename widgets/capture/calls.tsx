/** The recorded calls, a page at a time, newest first; one of them can be opened. */
import { Button, Chip, Fold } from "../lib/controls";
import { CodeBlock } from "../lib/copy-code";
import { ErrorCard } from "../lib/error-card";
import { clock, count, counted, dollars, latency, MISSING } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { Opened } from "../lib/opened";
import { Pager } from "../lib/pager";
import { useDraft } from "../lib/use-draft";
import type { CallDetail, CallPage, CallRow, Recording, Status } from "./types";

const TONES = { ok: "good", error: "bad", cut: "warn", client_gone: "warn", unread: "warn" } as const;
const STATUSES: [Status | "", string][] = [
  ["", "every status"],
  ["ok", "ok"],
  ["error", "failed"],
  ["cut", "cut off"],
  ["client_gone", "client left"],
  ["unread", "not readable"],
];

export function Calls() {
  const page = useTraitValue<CallPage>("page");
  const { stage } = useTraitValue<Recording>("recording");
  const call = useTraitValue<CallDetail | Record<string, never>>("call");
  const trainable = useTraitValue<boolean | undefined>("trainable") ?? false;
  const [send, waiting] = useCommand();
  const rows = page.rows ?? [];
  const filtered = Boolean(page.search || page.status || page.tag);
  const scored = rows.some((row) => row.scores !== undefined && Object.keys(row.scores).length > 0);
  const turn = (to: string, there?: boolean) => (there ? () => send("turn", { to }) : null);
  if (rows.length === 0 && !filtered) {
    return (
      <p class="snb-empty snb-muted">
        {stage === "recording" ? "No calls yet. They appear here while they pass through." : "No calls were recorded."}
      </p>
    );
  }
  return (
    <section class="snb-stack" aria-label="Calls">
      <div class="snb-row">
        <Filter page={page} />
        <span class="snb-muted">{filtered ? `${count(page.total)} found` : counted(page.total ?? 0, "call")}</span>
        {trainable && (
          <Button disabled={rows.length === 0 || waiting !== null} onClick={() => send("train")}>
            {filtered ? "Train on these calls" : "Train on this recording"}
          </Button>
        )}
        <span class="snb-push">
          <Pager
            label="Pages of calls"
            back={[
              ["Newest", turn("newest", page.newer)],
              ["Newer", turn("newer", page.newer)],
            ]}
            on={[["Older", turn("older", page.older)]]}
          />
        </span>
      </div>
      {rows.length === 0 ? (
        <p class="snb-empty snb-muted">No call fits.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
        <section class="snb-tablewrap snb-tablewrap--tall" tabIndex={0} aria-label="List of calls">
          <table class="snb-table">
            <thead>
              <tr>
                <th scope="col">Time</th>
                <th scope="col">Asked</th>
                <th scope="col">Model</th>
                <th scope="col">Status</th>
                {scored && (
                  <th scope="col" class="is-number">
                    Score
                  </th>
                )}
                <th scope="col" class="is-number">
                  Tokens
                </th>
                <th scope="col" class="is-number">
                  Cost
                </th>
                <th scope="col" class="is-number">
                  Took
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <Line key={row.id} row={row} open={row.id === call.id} scored={scored} />
              ))}
            </tbody>
          </table>
        </section>
      )}
      {"id" in call && <Detail call={call as CallDetail} />}
    </section>
  );
}

function Line({ row, open, scored }: { row: CallRow; open: boolean; scored: boolean }) {
  const [send] = useCommand();
  return (
    <tr class={open ? "is-open" : undefined}>
      <td class="snb-nowrap">{clock(row.at)}</td>
      <td>
        <button
          type="button"
          class="snb-link"
          aria-expanded={open}
          onClick={() => send(open ? "shut" : "open", { call: row.id })}
        >
          {row.title || "(no text)"}
        </button>
      </td>
      <td>{row.model ?? MISSING}</td>
      <td class="snb-nowrap">
        <Chip tone={TONES[row.status]}>{row.status === "error" && row.http ? `failed ${row.http}` : row.words}</Chip>
      </td>
      {scored && <td class="is-number snb-nowrap">{scoresOf(row.scores)}</td>}
      <td class="is-number snb-nowrap">
        {count(row.tokens_in)} / {count(row.tokens_out)}
      </td>
      <td class="is-number">{dollars(row.cost)}</td>
      <td class="is-number snb-nowrap">{latency(row.seconds)}</td>
    </tr>
  );
}

function Filter({ page }: { page: CallPage }) {
  const [send, waiting] = useCommand();
  const [search, edit, sent] = useDraft(page.search ?? "", waiting !== null);
  const ask = (values: { search?: string; status?: string; tag?: string }) => {
    sent();
    send("filter", { search, status: page.status ?? "", tag: page.tag ?? "", ...values });
  };
  const tags = [...new Set([...(page.tag ? [page.tag] : []), ...(page.tags ?? [])])];
  return (
    <>
      <input
        type="search"
        class="snb-input capture-search"
        aria-label="Search in what was asked and in sessions"
        placeholder="Search what was asked"
        value={search}
        onInput={(event) => edit(event.currentTarget.value)}
        onChange={(event) => ask({ search: event.currentTarget.value })}
      />
      <select
        class="snb-select capture-status"
        aria-label="Status"
        value={page.status ?? ""}
        onChange={(event) => ask({ status: event.currentTarget.value })}
      >
        {STATUSES.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
      {tags.length > 0 && (
        <select
          class="snb-select capture-status"
          aria-label="Tag"
          value={page.tag ?? ""}
          onChange={(event) => ask({ tag: event.currentTarget.value })}
        >
          <option value="">every tag</option>
          {tags.map((tag) => (
            <option key={tag} value={tag}>
              {tag}
            </option>
          ))}
        </select>
      )}
    </>
  );
}

/** The score, or where there is none the others by name. */
function scoresOf(scores: Record<string, number> = {}): string {
  const { score, ...others } = scores;
  const named = Object.entries(others).map(([name, value]) => `${name} ${rounded(value)}`);
  return score === undefined ? named.join(", ") : rounded(score);
}

const rounded = (value: number) => String(Number(value.toPrecision(4)));

function Detail({ call }: { call: CallDetail }) {
  const [send] = useCommand();
  const usage = Object.entries(call.usage).map(
    ([name, n]) => `${count(n)} ${name.replace(/_tokens$/, "").replaceAll("_", " ")}`,
  );
  return (
    <Opened id={call.id} label="Open call" title={call.title || call.id} onClose={() => send("shut")}>
      {call.error && <ErrorCard error={call.error} />}
      <p class="snb-muted">
        {[
          call.model,
          `${call.dialect}${call.stream ? ", streamed" : ""}`,
          call.route === "local" ? "answered by the loaded model" : null,
          call.retry_of && "a retry",
          call.session && `session ${call.session}`,
          counted(call.messages, "message"),
          usage.length > 0 ? usage.join(", ") : null,
          call.first_byte !== null ? `first byte after ${latency(call.first_byte)}` : null,
          call.finish_reason && `ended with ${call.finish_reason}`,
        ]
          .filter(Boolean)
          .join(" · ")}
      </p>
      <Judged call={call} />
      <Text title="Last message" text={call.asked} />
      {call.answer && <Text title="Answer" text={call.answer} />}
      {call.tools.map((tool, at) => (
        <Fold key={at} summary={`calls ${tool.name}`}>
          <pre class="snb-code">{tool.arguments}</pre>
        </Fold>
      ))}
      <Fold summary="Copy as code">
        <CodeBlock title="this call in a cell" code={call.code} />
      </Fold>
    </Opened>
  );
}

/** What was said of the call, its tags, and a place to say more. */
function Judged({ call }: { call: CallDetail }) {
  const [send, waiting] = useCommand();
  const [note, edit, sent] = useDraft("", waiting !== null);
  const tags = Object.entries(call.tags ?? {});
  const judged = call.judged ?? [];
  const say = (value: number | null) => {
    sent();
    send("score", { call: call.id, value, note });
    edit("");
  };
  return (
    <div class="snb-stack">
      <div class="snb-row">
        {tags.map(([name, value]) => (
          <Chip key={name} tone="plain">{`${name}=${value}`}</Chip>
        ))}
        <Button small onClick={() => say(1)} disabled={waiting !== null}>
          Good
        </Button>
        <Button small onClick={() => say(0)} disabled={waiting !== null}>
          Bad
        </Button>
        <input
          type="text"
          class="snb-input capture-search"
          aria-label="Note"
          placeholder="Note (optional)"
          maxLength={10000}
          value={note}
          onInput={(event) => edit(event.currentTarget.value)}
        />
        <Button small onClick={() => say(null)} disabled={waiting !== null || note.trim() === ""}>
          Add note
        </Button>
      </div>
      {judged.length > 0 && (
        <ul class="capture-judged" aria-label="Scores and notes">
          {judged.map((each, at) => (
            <li key={at}>
              <span class="snb-muted">{clock(each.at)}</span>{" "}
              {[each.value === null ? null : `${each.name} ${rounded(each.value)}`, each.note]
                .filter(Boolean)
                .join(": ")}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Text({ title, text }: { title: string; text: string }) {
  return (
    <div>
      <h3>{title}</h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard */}
      <pre class="snb-pre" tabIndex={0}>
        {text || "(no text)"}
      </pre>
    </div>
  );
}
