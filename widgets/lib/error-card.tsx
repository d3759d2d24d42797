/** An error as what, why and the next step, with the technical details folded. */
import type { ComponentChildren } from "preact";
import { Fold } from "./controls";
import type { ErrorInfo } from "./model";

interface ErrorCardProps {
  error: ErrorInfo;
  /** Buttons for the next step. */
  actions?: ComponentChildren;
}

export function ErrorCard({ error, actions }: ErrorCardProps) {
  return (
    <div class="snb-error" role="alert">
      <p class="snb-error-what">
        <span class="snb-chip snb-chip--bad">Error: {error.code}</span> {error.what}
      </p>
      {error.why && (
        <p>
          <b>Why</b> {error.why}
        </p>
      )}
      {error.fix && (
        <p>
          <b>Next</b> {error.fix}
        </p>
      )}
      {actions && <div class="snb-row">{actions}</div>}
      {error.details && (
        <Fold summary="Details">
          <pre class="snb-code">{error.details}</pre>
        </Fold>
      )}
    </div>
  );
}
