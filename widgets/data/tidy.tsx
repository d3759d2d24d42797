/** Repeated rows, the split, and held-out rows that training would see. */
import { useState } from "preact/hooks";
import { Button, Chip, Field, Fold, Segmented } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { count } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { TextField } from "../lib/text-field";
import type { HowRead, Leaks, PartOf } from "./types";

export function Tidy() {
  const parts = useTraitValue<PartOf[]>("parts");
  const busy = useTraitValue<string>("working") !== "";
  return (
    <section class="snb-stack" aria-label="Repeated rows and split">
      <Repeated busy={busy} />
      {parts.length === 1 ? <Split busy={busy} /> : <Leaking busy={busy} />}
    </section>
  );
}

function Repeated({ busy }: { busy: boolean }) {
  const [send] = useCommand();
  const [how, setHow] = useState<"same" | "near">("same");
  const [share, setShare] = useState("0.8");
  return (
    <Fold summary="Repeated rows">
      <div class="snb-stack">
        <div class="snb-row">
          <Segmented
            label="What counts as repeated"
            value={how}
            options={
              [
                ["same", "Word for word"],
                ["near", "Nearly the same"],
              ] as const
            }
            onChange={setHow}
          />
          <Button disabled={busy} onClick={() => send("dedupe", how === "near" ? { near: share } : {})}>
            Take out repeated rows
          </Button>
        </div>
        {how === "near" && (
          <TextField
            label="From this share on"
            help="Of five-word sequences that two rows have in common, above 0 to 1. Words that most rows have do not count."
            value={share}
            onValue={setShare}
          />
        )}
        <p class="snb-muted">The first of the rows that are alike stays.</p>
      </div>
    </Fold>
  );
}

const WAYS = [
  ["random", "At random"],
  ["group", "By group"],
  ["time", "By time"],
] as const;
const WORDS = {
  random: "Any row may be held out.",
  group: "Rows with the same value in this column stay on one side, such as those of one customer.",
  time: "The latest rows by this column are held out: numbers, or dates such as 2026-01-31.",
};

function Split({ busy }: { busy: boolean }) {
  const [send] = useCommand();
  const reading = useTraitValue<HowRead>("reading");
  const [how, setHow] = useState<"random" | "group" | "time">("random");
  const [share, setShare] = useState("0.1");
  const [column, setColumn] = useState("");
  const [seed, setSeed] = useState("0");
  const columns = (reading.columns ?? []).filter((each) => !each.key).map((each) => each.name);
  return (
    <Fold summary="Hold rows out">
      <form
        class="snb-stack"
        aria-label="Split"
        onSubmit={(event) => {
          event.preventDefault();
          send("split", { how, share, column: how === "random" ? "" : column, seed });
        }}
      >
        <div class="snb-row">
          <Segmented label="How rows are held out" value={how} options={WAYS} onChange={setHow} />
        </div>
        <div class="data-two">
          <TextField
            label="How many"
            help="A share such as 0.1, or a number of rows."
            value={share}
            onValue={setShare}
          />
          {how !== "random" && (
            <Field label="Column" help={WORDS[how]}>
              {(ids) => (
                <select
                  {...ids}
                  class="snb-select"
                  value={column}
                  onChange={(event) => setColumn(event.currentTarget.value)}
                >
                  <option value="">Choose a column…</option>
                  {columns.map((name) => (
                    <option key={name} value={name}>
                      {name}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          )}
          {how !== "time" && <TextField label="Seed" digits value={seed} onValue={setSeed} />}
        </div>
        <div class="snb-row">
          <Button type="submit" disabled={busy || (how !== "random" && column === "")}>
            Split
          </Button>
          <span class="snb-muted">Held-out rows are compared with the others afterwards.</span>
        </div>
      </form>
    </Fold>
  );
}

function Leaking({ busy }: { busy: boolean }) {
  const leaks = useTraitValue<Leaks>("leaks");
  const [send] = useCommand();
  const rows = leaks.rows ?? [];
  return (
    <section class="snb-stack" aria-label="Leakage">
      <div class="snb-row">
        <h3>Held-out rows that training sees</h3>
        {leaks.stage === "loading" && <Chip tone="accent">Comparing</Chip>}
        {leaks.stage === "ready" && (
          <Chip tone={leaks.count === 0 ? "good" : "bad"}>
            {leaks.count === 0 ? "✓ none" : `✗ ${count(leaks.count)}`}
          </Chip>
        )}
      </div>
      {leaks.summary && <p class="snb-muted">{leaks.summary}</p>}
      {leaks.error && <ErrorCard error={leaks.error} />}
      {rows.length > 0 && (
        <>
          <ul class="data-refused">
            {rows.map((text) => (
              <li key={text}>{text}</li>
            ))}
            {(leaks.count ?? 0) > rows.length && (
              <li class="snb-muted">and {count((leaks.count ?? 0) - rows.length)} more</li>
            )}
          </ul>
          <div class="snb-row">
            <Button small disabled={busy} onClick={() => send("leave_leaks")}>
              Take them out of the held-out rows
            </Button>
          </div>
        </>
      )}
    </section>
  );
}
