/** One run in full: tags and note, where it came from, what came of it, its options and numbers. */
import { useEffect, useState } from "preact/hooks";
import { Button, Chip, Field, Fold } from "../lib/controls";
import { CodeBlock } from "../lib/copy-code";
import { FinishButtons } from "../lib/finish";
import { useCommand, useTraitValue } from "../lib/model";
import { Opened as OpenedCard } from "../lib/opened";
import type { Opened } from "./types";

export function Detail({ run }: { run: Opened }) {
  const linked = useTraitValue<boolean>("linked");
  const [send] = useCommand();
  return (
    <OpenedCard id={run.id} label="Run" title={run.id} onClose={() => send("close")}>
      <div class="snb-row">
        {linked && (
          <Button kind="primary" small onClick={() => send("show", { run: run.id })}>
            Open in the Run tab
          </Button>
        )}
        {run.tags.map((tag) => (
          <span key={tag} class="runs-tagged">
            <Chip>{tag}</Chip>
            <Button
              kind="quiet"
              small
              aria-label={`Take the tag ${tag} away`}
              onClick={() => send("mark", { runs: [run.id], untag: tag })}
            >
              ×
            </Button>
          </span>
        ))}
        {run.erased && <Chip tone="warn">trained on data that was deleted since</Chip>}
      </div>
      <FinishButtons small run={run.id} actions={run.finishes ?? []} />
      <Note run={run} />
      <dl class="runs-facts">
        {run.facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {(run.parent || run.children.length > 0) && (
        <div class="snb-row">
          {run.parent && (
            <span>
              Went on from <Other id={run.parent} />
            </span>
          )}
          {run.children.length > 0 && (
            <span>
              Trained further in{" "}
              {run.children.map((id) => (
                <Other key={id} id={id} />
              ))}
            </span>
          )}
        </div>
      )}
      <Fold summary="Options that were chosen">
        <Pairs label={`Options of ${run.id}`} heads={["Option", "Value"]} lines={run.options} />
      </Fold>
      {run.metrics.length > 0 && (
        <Fold summary="Metrics">
          <Pairs label={`Metrics of ${run.id}`} heads={["Metric", "Last", "Lowest", "Highest"]} lines={run.metrics} />
        </Fold>
      )}
      <CodeBlock title="this run" code={`import shadownb as snb\nrun = snb.runs.load("${run.id}")`} />
    </OpenedCard>
  );
}

function Other({ id }: { id: string }) {
  const [send] = useCommand();
  return (
    <Button kind="quiet" small onClick={() => send("open", { run: id })}>
      {id}
    </Button>
  );
}

function Note({ run }: { run: Opened }) {
  const [text, setText] = useState(run.note);
  const [send] = useCommand();
  useEffect(() => setText(run.note), [run.id, run.note]);
  return (
    <form
      class="snb-stack runs-note"
      onSubmit={(event) => {
        event.preventDefault();
        send("mark", { runs: [run.id], note: text });
      }}
    >
      <Field label="Note">
        {(ids) => (
          <textarea
            {...ids}
            class="snb-input"
            rows={2}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        )}
      </Field>
      {text !== run.note && (
        <div class="snb-row">
          <Button small type="submit">
            Keep the note
          </Button>
        </div>
      )}
    </form>
  );
}

interface PairsProps {
  label: string;
  heads: string[];
  lines: readonly (readonly string[])[];
}

export function Pairs({ label, heads, lines }: PairsProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled by keyboard
    <section class="snb-tablewrap" tabIndex={0} aria-label={label}>
      <table class="snb-table">
        <thead>
          <tr>
            {heads.map((head, at) => (
              <th key={at} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {lines.map(([name, ...values]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {values.map((value, at) => (
                <td key={at}>{value || <span class="snb-muted">--</span>}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
