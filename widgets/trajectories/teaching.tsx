/** How much people clicked so far, and what it is good for. */
import { Button } from "../lib/controls";
import { counted } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import type { Clicks, Handed } from "./types";

const USES: [what: string, title: string, code: string][] = [
  ["verdicts", "Verdicts, kto", "store.to_verdicts()"],
  ["pairs", "Pairs, dpo", "store.to_preferences()"],
  ["demonstrations", "Demonstrations, sft", "store.to_demonstrations()"],
];

export function Teaching() {
  const clicks = useTraitValue<Clicks | Record<string, never>>("clicks");
  const handed = useTraitValue<Handed | Record<string, never>>("handed");
  const [send, waiting] = useCommand();
  const { rated = 0, corrected = 0, ranked = 0 } = clicks;
  if (rated + corrected + ranked === 0) {
    return null;
  }
  const code = USES.find(([what]) => what === handed.what)?.[2];
  return (
    <section class="snb-row" aria-label="Clicks">
      <span>
        {rated} rated, {corrected} corrected, {ranked} ranked. Train on them:
      </span>
      {USES.map(([what, title]) => (
        <Button key={what} small disabled={waiting !== null} onClick={() => send("use", { what })}>
          {title}
        </Button>
      ))}
      {"what" in handed && (
        <span role="status">
          {counted(handed.rows as number, "row")} for {handed.method}:{" "}
          {handed.taken ? (
            "chosen in the Train tab."
          ) : (
            <code>
              model.train({code}, method="{handed.method}")
            </code>
          )}
        </span>
      )}
    </section>
  );
}
