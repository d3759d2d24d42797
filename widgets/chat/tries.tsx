/** Rows that the run was evaluated on, to ask them here and see the expected answer beside. */
import { Button, Fold } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { count } from "../lib/format";
import { type ErrorInfo, useCommand, useTraitValue } from "../lib/model";
import { Pager } from "../lib/pager";

export interface Tries {
  stage: "none" | "ready" | "failed";
  words?: string;
  at?: number;
  total?: number;
  text?: string;
  role?: string;
  earlier?: number;
  expected?: string;
  meaning?: string;
  error?: ErrorInfo;
}

export function TriesPart({ ready }: { ready: boolean }) {
  const tries = useTraitValue<Tries>("tries");
  const busy = useTraitValue<boolean>("busy");
  const [send] = useCommand();
  if (tries.stage === "none") {
    return null;
  }
  if (tries.stage === "failed") {
    return tries.error ? (
      <Fold summary="Rows to try cannot be shown">
        <ErrorCard error={tries.error} />
      </Fold>
    ) : null;
  }
  const at = tries.at ?? 0;
  const total = tries.total ?? 0;
  const go = (to: number) => (to < 0 || to >= total ? null : () => send("show_row", { at: to }));
  return (
    <section class="chat-try" aria-label="Try a row">
      <div class="snb-row">
        <span class="chat-trylabel">Try one of the {tries.words}</span>
        <span class="snb-push">
          <Pager
            label="Rows to try"
            back={[["Previous", go(at - 1)]]}
            shown={`${count(at + 1)} of ${count(total)}`}
            on={[["Next", go(at + 1)]]}
          />
        </span>
      </div>
      <div class="chat-tryrow">
        <p class="chat-text chat-clipped">{tries.text}</p>
        <Button onClick={() => send("try_row", { at })} disabled={!ready || busy}>
          Ask this row
        </Button>
      </div>
      {(tries.earlier ?? 0) > 0 && <p class="snb-muted">{before(tries.earlier ?? 0)}</p>}
    </section>
  );
}

export const before = (earlier: number): string =>
  `after ${earlier} earlier message${earlier === 1 ? "" : "s"} of the row`;
