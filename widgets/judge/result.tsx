/** What came of a judging, and what it is good for: pairs, the best answers, groups with rewards. */
import { useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";
import { count, counted, dollars } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { type Handed, type Summary, score } from "./types";

const HANDED: Record<string, string> = {
  preferences: "judged.to_preferences()",
  best: "judged.best(threshold)",
  groups: "judged",
};

export function Result({ summary, stopped }: { summary: Summary; stopped: boolean }) {
  const { attempts, unscored, mean, requests, reused, cost, lines } = summary;
  const known = [
    `${counted(summary.groups ?? 0, "group")}, ${counted(attempts, "attempt")}`,
    mean === null ? "no scores" : `mean score ${score(mean)}`,
    unscored > 0 ? `${count(unscored)} without a score` : "",
    `${counted(requests, "prompt")} asked`,
    reused > 0 ? `${count(reused)} verdicts from an earlier time` : "",
    cost === null ? "" : dollars(cost),
    stopped ? "stopped before the end" : "",
  ];
  return (
    <section class="snb-stack" aria-label="Result">
      <p>{known.filter(Boolean).join(" · ")}</p>
      {lines.length > 0 && (
        <ul class="snb-muted judge-lines">
          {lines.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
      <Train summary={summary} />
    </section>
  );
}

function Train({ summary }: { summary: Summary }) {
  const handed = useTraitValue<Handed | Record<string, never>>("handed");
  const [threshold, setThreshold] = useState("0.8");
  const [send, waiting] = useCommand();
  const least = Number(threshold);
  const wrong = threshold.trim() === "" || !(least >= 0 && least <= 1);
  const scored = summary.attempts > summary.unscored;
  const blocked = waiting !== null;
  return (
    <fieldset class="judge-train">
      <legend>Train on it</legend>
      <div class="snb-row">
        <Button disabled={blocked || summary.pairs === 0} onClick={() => send("use", { what: "preferences" })}>
          {counted(summary.pairs, "pair")}, dpo
        </Button>
        <Button disabled={blocked || summary.pairs === 0} onClick={() => send("use", { what: "groups" })}>
          Scored groups, grpo
        </Button>
        <Button disabled={blocked || !scored || wrong} onClick={() => send("use", { what: "best", threshold: least })}>
          The best of each, sft
        </Button>
        <Field label="that score at least" error={wrong ? "Give a number from 0 to 1." : ""}>
          {(ids) => (
            <input
              {...ids}
              class="snb-input judge-number"
              inputMode="decimal"
              value={threshold}
              onInput={(event) => setThreshold(event.currentTarget.value)}
            />
          )}
        </Field>
      </div>
      {summary.pairs === 0 && (
        <p class="snb-muted">
          No two attempts at a task have different scores: pairs and groups need several attempts a task.
        </p>
      )}
      {"what" in handed && (
        <p role="status">
          {counted(handed.rows as number, "row")} for {handed.method}:{" "}
          {handed.taken ? (
            "chosen in the Train tab."
          ) : (
            <code>
              model.train({HANDED[handed.what as string]}, method="{handed.method}")
            </code>
          )}
        </p>
      )}
    </fieldset>
  );
}
