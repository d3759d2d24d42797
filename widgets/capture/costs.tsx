/** What each call site took: added up when somebody asks, by system text, model, session or a tag. */
import { Button, Fold } from "../lib/controls";
import { count, counted, dollars } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import type { CallPage, Costs } from "./types";

export function CallSites() {
  const costs = useTraitValue<Costs | Record<string, never>>("costs");
  const page = useTraitValue<CallPage>("page");
  const [send, waiting] = useCommand();
  const by = costs.by ?? "system";
  const names = [...new Set((page.tags ?? []).map((tag) => tag.split("=", 1)[0]))];
  const sites: [string, string][] = [
    ["system", "system text"],
    ["model", "model"],
    ["session", "session"],
    ...names.map((name): [string, string] => [`tag:${name}`, `tag ${name}`]),
  ];
  const busy = costs.working === true || waiting !== null;
  return (
    <Fold summary="Costs by call site">
      <div class="snb-stack">
        <div class="snb-row">
          <select
            class="snb-select capture-status"
            aria-label="Add up by"
            value={by}
            disabled={busy}
            onChange={(event) => send("costs", { by: event.currentTarget.value })}
          >
            {sites.map(([value, text]) => (
              <option key={value} value={value}>
                by {text}
              </option>
            ))}
          </select>
          <Button small onClick={() => send("costs", { by })} disabled={busy}>
            {costs.working ? "Adding up" : "Add up"}
          </Button>
        </div>
        {costs.rows !== undefined && <Sites costs={costs as Costs} />}
      </div>
    </Fold>
  );
}

function Sites({ costs }: { costs: Costs }) {
  const rows = costs.rows ?? [];
  if (rows.length === 0) {
    return <p class="snb-empty snb-muted">No calls were recorded.</p>;
  }
  const estimated = rows.some((row) => row.estimated !== null);
  return (
    <>
      <section class="snb-tablewrap" aria-label="Costs by call site">
        <table class="snb-table" aria-label="Costs by call site">
          <thead>
            <tr>
              <th scope="col">Call site</th>
              {["Calls", "Tokens in", "Tokens out", "Cost", ...(estimated ? ["Estimated"] : [])].map((name) => (
                <th key={name} scope="col" class="is-number">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.site}>
                <th scope="row">{row.site || "(none)"}</th>
                <td class="is-number">{count(row.calls)}</td>
                <td class="is-number">{count(row.tokens_in)}</td>
                <td class="is-number">{count(row.tokens_out)}</td>
                <td class="is-number">{dollars(row.cost)}</td>
                {estimated && <td class="is-number">{dollars(row.estimated)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <p class="snb-muted">
        {[
          costs.newest ? `of the newest ${count(costs.newest)} calls` : null,
          costs.more ? `${counted(costs.more, "more call site")}` : null,
          estimated ? "tokens are estimated where an answer does not say how many it took" : null,
        ]
          .filter(Boolean)
          .join(" · ")}
      </p>
    </>
  );
}
