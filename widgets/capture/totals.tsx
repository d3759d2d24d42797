/** Sums over all calls: how many, tokens, cost; by model; and what went wrong beside the calls themselves. */
import { Fold } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { count, counted, dollars } from "../lib/format";
import { useTraitValue } from "../lib/model";
import type { Totals } from "./types";

export function Sums() {
  const totals = useTraitValue<Totals | Record<string, never>>("totals");
  if (!("calls" in totals)) {
    return null;
  }
  const sums = totals as Totals;
  const troubled = (["error", "cut", "client_gone", "unread"] as const).reduce(
    (n, s) => n + (sums.statuses[s] ?? 0),
    0,
  );
  const unpriced = sums.unpriced > 0 ? `${counted(sums.unpriced, "call")} without a price` : "";
  return (
    <div class="snb-stack">
      <dl class="capture-tiles">
        <Tile name="Calls" value={count(sums.calls)} note={sums.active > 0 ? `${count(sums.active)} going on` : ""} />
        <Tile name="Tokens in" value={count(sums.prompt_tokens)} />
        <Tile name="Tokens out" value={count(sums.completion_tokens)} />
        <Tile name="Cost" value={dollars(sums.cost)} note={unpriced} />
        <Tile name="Failed or cut off" value={count(troubled)} bad={troubled > 0} />
      </dl>
      {sums.failed > 0 && (
        <ErrorCard
          error={{
            code: "not-recorded",
            what: `${counted(sums.failed, "call")} passed through, but could not be recorded.`,
            why: sums.last_error,
            fix: "See whether the disk of the capture's folder is full or read-only. Clients were not disturbed.",
          }}
        />
      )}
      {sums.refused > 0 && (
        <p class="capture-note">
          {counted(sums.refused, "request")} refused: a wrong token, host or body. Check what the client was given.
        </p>
      )}
      {sums.models.length > 0 && (
        <Fold summary={`By model (${count(sums.models.length + sums.more_models)})`}>
          <table class="snb-table" aria-label="Sums by model">
            <thead>
              <tr>
                <th scope="col">Model</th>
                {["Calls", "Tokens in", "Tokens out", "Cost"].map((name) => (
                  <th key={name} scope="col" class="is-number">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {sums.models.map((model) => (
                <tr key={model.name}>
                  <th scope="row">{model.name}</th>
                  <td class="is-number">{count(model.calls)}</td>
                  <td class="is-number">{count(model.prompt_tokens)}</td>
                  <td class="is-number">{count(model.completion_tokens)}</td>
                  <td class="is-number">{dollars(model.cost)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Fold>
      )}
    </div>
  );
}

function Tile({ name, value, note = "", bad = false }: { name: string; value: string; note?: string; bad?: boolean }) {
  return (
    <div class={bad ? "is-bad" : undefined}>
      <dt>{name}</dt>
      <dd>
        {value}
        {note && <span class="snb-muted">{note}</span>}
      </dd>
    </div>
  );
}
