/** What will really run, and what it is estimated to cost. */
import { Chip, Fold } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { gigabytes } from "../lib/format";
import { useTraitValue } from "../lib/model";
import { roughly } from "./form";
import type { Estimate, PlanRow } from "./types";

export function Plan() {
  const plan = useTraitValue<PlanRow[]>("plan");
  return (
    <section class="train-card" aria-label="What will run">
      <h2>What will run</h2>
      {plan.length === 0 ? (
        <p class="snb-muted">Shown here once data and model are chosen: every value, and why it is that.</p>
      ) : (
        <dl class="train-plan">
          {plan.map((row) => (
            <div key={row.label}>
              <dt>{row.label}</dt>
              <dd>
                {row.value}
                {row.reason && <span class="snb-muted"> {row.reason}</span>}
              </dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}

/** The estimate in a line, beside the button. */
export function Brief() {
  const found = useTraitValue<Estimate>("estimate");
  if (found.expected_gb === undefined || found.stage === "failed") {
    return null;
  }
  return (
    <span class="snb-muted">
      {gigabytes(found.expected_gb)}, {found.seconds ? roughly(found.seconds) : "time unknown"}
      {found.fits === false && ". May not fit."}
    </span>
  );
}

export function Cost() {
  const found = useTraitValue<Estimate>("estimate");
  if (found.stage === "none") {
    return null;
  }
  return (
    <section class="train-card" aria-label="Estimate">
      <h2>Estimated</h2>
      {found.error && <ErrorCard error={found.error} />}
      {found.stage === "loading" && found.expected_gb === undefined && <p class="snb-muted">Estimating…</p>}
      {found.expected_gb !== undefined && found.stage !== "failed" && (
        <>
          <p class="train-figures">
            <b>{gigabytes(found.expected_gb)}</b> of memory
            <span class="snb-muted">
              {" "}
              ({gigabytes(found.low_gb)} to {gigabytes(found.high_gb)})
            </span>
            {", "}
            <b>{found.seconds ? roughly(found.seconds) : "time unknown"}</b>
          </p>
          <p>
            <Chip tone={found.fits ? "good" : "warn"}>{found.fits ? "Fits" : "May not fit"}</Chip> {found.reason}
          </p>
          <Fold summary="Line by line">
            <table class="snb-table">
              <tbody>
                {(found.lines ?? []).map(([label, gb]) => (
                  <tr key={label}>
                    <th scope="row">{label}</th>
                    <td class="is-number">{gigabytes(gb)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Fold>
        </>
      )}
    </section>
  );
}
