/** What a run was estimated to need beside what it was measured to take, and what it really ran with. */
import { count, duration, gigabytes, MISSING } from "../lib/format";
import { isActive, type RunRecord, type Status } from "./types";

export function RecordDetails({ record, status }: { record: RunRecord; status: Status }) {
  const decisions = Object.entries(record.decisions ?? {});
  if (!record.estimate && decisions.length === 0) {
    return <p class="snb-muted">Shown once the run has prepared its data and model.</p>;
  }
  return (
    <div class="run-record">
      <Cost record={record} status={status} />
      <div class="snb-stack">
        <h3>What it ran with</h3>
        <dl class="run-decisions">
          {record.trainable != null && <Row label="trained weights" value={count(record.trainable)} reason="" />}
          {decisions.map(([name, [value, reason]]) => (
            <Row key={name} label={name.replaceAll("_", " ")} value={plain(value)} reason={reason} />
          ))}
          {Object.keys(record.actual_setup ?? {}).length > 0 && (
            <Row
              label="found at step 1"
              value={Object.entries(record.actual_setup ?? {})
                .map(([name, value]) => `${name.replaceAll("_", " ")}: ${plain(value)}`)
                .join("; ")}
              reason=""
            />
          )}
          {Object.keys(record.versions ?? {}).length > 0 && (
            <Row
              label="versions"
              value={Object.entries(record.versions ?? {})
                .map(([name, version]) => `${name} ${version}`)
                .join(", ")}
              reason=""
            />
          )}
        </dl>
      </div>
    </div>
  );
}

/** A recorded value as people write it. */
function plain(value: unknown): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(plain).join(", ") || "none";
  if (typeof value === "number") return count(value);
  return value === null || value === undefined || value === "" ? "none" : String(value);
}

function Row({ label, value, reason }: { label: string; value: string; reason: string }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        {value} {reason && <span class="snb-muted">{reason}</span>}
      </dd>
    </div>
  );
}

function Cost({ record, status }: { record: RunRecord; status: Status }) {
  const estimate = record.estimate ?? {};
  const peak = status.last.peak_memory_gb;
  const ended = !isActive(status.status);
  return (
    <div class="snb-stack">
      <h3>Estimated and measured</h3>
      <table class="snb-table">
        <caption class="snb-hidden">Memory line by line, then memory and time, estimated and measured</caption>
        <thead>
          <tr>
            <th scope="col">Memory and time</th>
            <th scope="col" class="is-number">
              Estimated
            </th>
            <th scope="col" class="is-number">
              Measured
            </th>
          </tr>
        </thead>
        <tbody>
          {(estimate.lines ?? []).map(([label, gb]) => (
            <tr key={label}>
              <th scope="row" class="run-line">
                {label}
              </th>
              <td class="is-number">{gigabytes(gb)}</td>
              <td />
            </tr>
          ))}
          <tr>
            <th scope="row">peak memory</th>
            <td class="is-number">
              <b>{gigabytes(estimate.expected_gb)}</b>
            </td>
            <td class="is-number">
              <b>{gigabytes(peak)}</b>
              {off(estimate.expected_gb, peak)}
            </td>
          </tr>
          <tr>
            <th scope="row">training time</th>
            <td class="is-number">{estimate.seconds == null ? MISSING : duration(estimate.seconds)}</td>
            <td class="is-number">
              {status.elapsed > 0 ? duration(status.elapsed) : MISSING}
              {status.elapsed > 0 && !(ended && status.step === status.total) && ` for step ${count(status.step)}`}
            </td>
          </tr>
        </tbody>
      </table>
      <p class="snb-muted">
        {estimate.low_gb !== undefined &&
          `Expected between ${gigabytes(estimate.low_gb)} and ${gigabytes(estimate.high_gb)}. `}
        Measured is the most seen while training.
      </p>
    </div>
  );
}

/** How far the measured value is from the estimate, for example "(+4%)". */
function off(expected: number | undefined, measured: number | undefined): string {
  if (!expected || measured === undefined) {
    return "";
  }
  const share = Math.round((measured / expected - 1) * 100);
  return ` (${share >= 0 ? "+" : "−"}${Math.abs(share)}%)`;
}
