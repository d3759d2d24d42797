/** How many tokens the rows have for a model, as bars and figures, and what was proven of its chat template. */
import { CertificateCard } from "../lib/certificate";
import { Chip, Field } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { count } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import type { Tokens } from "./types";

export function TokensPart() {
  const models = useTraitValue<{ id: string; title: string }[]>("models");
  const model = useTraitValue<string>("model");
  const tokens = useTraitValue<Tokens>("tokens");
  const [send] = useCommand();
  return (
    <section class="snb-stack" aria-label="Tokens">
      <div class="snb-row">
        <h3>Tokens</h3>
        {tokens.stage === "loading" && <Chip tone="accent">Counting</Chip>}
      </div>
      <Field
        label="Model"
        help={
          models.length === 0 ? "No model is loaded: load one in Train, or with snb.load(name) in a cell." : undefined
        }
      >
        {(ids) => (
          <select
            {...ids}
            class="snb-select"
            value={model}
            onChange={(event) => send("choose_model", { choice: event.currentTarget.value })}
          >
            <option value="">None: tokens are not counted</option>
            {models.map((each) => (
              <option key={each.id} value={each.id}>
                {each.title}
              </option>
            ))}
          </select>
        )}
      </Field>
      {tokens.error && <ErrorCard error={tokens.error} />}
      {tokens.stage === "ready" && <Histogram tokens={tokens} />}
      <CertificateCard />
    </section>
  );
}

function Histogram({ tokens }: { tokens: Tokens }) {
  const bins = tokens.bins ?? [];
  const most = Math.max(1, ...bins.map(([, , rows]) => rows));
  return (
    <div class="snb-stack">
      <div class="data-bars" role="img" aria-label={`Rows by tokens: ${bins.map(said).join("; ")}`}>
        {bins.map((bin) => (
          <span key={bin[0]} title={said(bin)} style={{ height: `${(bin[2] / most) * 100}%` }} />
        ))}
      </div>
      <div class="data-ends snb-muted" aria-hidden="true">
        <span>{count(bins[0]?.[0])} tokens</span>
        <span>{count(bins.at(-1)?.[1])}</span>
      </div>
      <dl class="data-figures">
        {(tokens.figures ?? []).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {(tokens.counted ?? 0) < (tokens.of ?? 0) && (
        <p class="snb-muted">
          Counted in {count(tokens.counted)} of {count(tokens.of)} rows, evenly taken.
        </p>
      )}
    </div>
  );
}

function said([from, to, rows]: [number, number, number]): string {
  return `${from === to ? count(from) : `${count(from)} to ${count(to)}`}: ${count(rows)} ${rows === 1 ? "row" : "rows"}`;
}
