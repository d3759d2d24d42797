/** What was proven of the chosen model's chat template: what it writes of a row, and what is trained. */
import { Chip, Fold } from "./controls";
import { ErrorCard } from "./error-card";
import type { ErrorInfo } from "./model";
import { useTraitValue } from "./model";
import "./certificate.css";

type Status = "pass" | "fail" | "n/a";

interface Proof {
  name: string;
  claim: string;
  status: Status;
  reason: string;
  example: string;
}

/** The trait `certificate`, as shadownb/panels/_certificate.py writes it. */
export interface Certificate {
  stage: "none" | "loading" | "ready" | "failed";
  ok?: boolean;
  template_source?: string;
  template_reason?: string;
  proofs?: Proof[];
  error?: ErrorInfo;
}

const MARKS: Record<Status, string> = { pass: "✓ pass", fail: "✗ fail", "n/a": "– n/a" };

export function CertificateCard() {
  const found = useTraitValue<Certificate>("certificate");
  if (found.stage === "none") return null;
  const asked = (found.proofs ?? []).filter((proof) => proof.status !== "n/a");
  const passed = asked.filter((proof) => proof.status === "pass").length;
  const count = found.stage === "ready" ? `: ${passed} of ${asked.length} proofs pass` : "";
  return (
    <Fold summary={`Chat template${count}`}>
      {found.stage === "loading" && <p class="snb-muted">Trying the template on probes…</p>}
      {found.error && <ErrorCard error={found.error} />}
      {found.stage === "ready" && (
        <div class="snb-stack">
          <p class="snb-muted">
            {found.template_source}: {found.template_reason}
          </p>
          <table class="snb-proofs" aria-label="Template certificate">
            <tbody>
              {found.proofs?.map((proof) => (
                <tr key={proof.name}>
                  <td>
                    <Chip tone={TONES[proof.status]}>{MARKS[proof.status]}</Chip>
                  </td>
                  <th scope="row" title={proof.claim}>
                    {proof.name}
                  </th>
                  <td>
                    {proof.reason}
                    {proof.status === "fail" && proof.example && <code class="snb-proof">{proof.example}</code>}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {!found.ok && (
            <p class="snb-muted">
              Rows that need what fails are refused or counted before training: the option on_template_drop.
            </p>
          )}
        </div>
      )}
    </Fold>
  );
}

const TONES = { pass: "good", fail: "bad", "n/a": "plain" } as const;
