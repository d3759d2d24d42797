/** The recorded calls, a page at a time, newest first; one of them can be opened. */
import { Chip, Fold } from "../lib/controls";
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
  const [send] = useCommand();
  const rows = page.rows ?? [];
  const filtered = Boolean(page.search || page.status);
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
                <Line key={row.id} row={row} open={row.id === call.id} />
              ))}
            </tbody>
          </table>
        </section>
      )}
      {"id" in call && <Detail call={call as CallDetail} />}
    </section>
  );
}

function Line({ row, open }: { row: CallRow; open: boolean }) {
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
  const ask = (values: { search?: string; status?: string }) => {
    sent();
    send("filter", { search, status: page.status ?? "", ...values });
  };
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
    </>
  );
}

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
