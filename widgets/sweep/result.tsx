/** A sweep: how far it is, its trials, which options mattered, the best trial. */
import { Chart } from "../lib/chart";
import { Button, Chip, Fold, Progress } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import { parallelFigure } from "../lib/parallel";
import { StatusLine } from "../lib/status-line";
import type { Sweep, Trial } from "./types";

const TONES: Partial<Record<string, "accent" | "good" | "warn" | "bad">> = {
  running: "accent",
  succeeded: "good",
  pruned: "warn",
  stopped: "warn",
  interrupted: "warn",
  failed: "bad",
  diverged: "bad",
};

export function Result({ sweep }: { sweep: Sweep }) {
  const [send, waiting] = useCommand();
  const running = sweep.status === "running";
  const counted = sweep.counts.map(([words, count]) => `${count} ${words.toLowerCase()}`).join(", ");
  return (
    <section class="snb-stack" aria-label={`Sweep ${sweep.name}`}>
      <div class="snb-row">
        <h3>{sweep.name}</h3>
        <Chip tone={TONES[sweep.status] ?? "plain"}>{sweep.status}</Chip>
        <StatusLine>
          {`${sweep.done}${sweep.trials === null ? "" : ` of ${sweep.trials}`} trials${counted && `: ${counted}`}. ${sweep.metric_title}: ${sweep.better} is better.`}
        </StatusLine>
        <span class="snb-row snb-push">
          {running && (
            <Button small disabled={waiting === "stop"} onClick={() => send("stop")}>
              Stop
            </Button>
          )}
          {!running && sweep.status !== "succeeded" && (
            <Button small disabled={waiting === "resume"} onClick={() => send("resume")}>
              Go on
            </Button>
          )}
          <Best sweep={sweep} />
        </span>
      </div>
      {running && sweep.trials !== null && <Progress label="Trials done" value={sweep.done / sweep.trials} />}
      {sweep.error.what && (
        <p class="snb-field-error" role="alert">
          {sweep.error.what} {sweep.error.fix}
        </p>
      )}
      <Trials sweep={sweep} />
      {sweep.ids.length > 1 && sweep.parallel.length > 1 && (
        <Fold summary="Parallel coordinates" open>
          <Chart
            label="Parallel coordinates of what was tried and what came out. The table above has the values."
            figure={(theme) => parallelFigure(sweep, theme)}
            dataVersion={0}
            viewVersion={`${sweep.name}/${sweep.ids.join()}`}
            height={260}
          />
        </Fold>
      )}
      <Importance sweep={sweep} />
      <Fold summary="What is tried, and how">
        <dl class="sweep-facts">
          {[...sweep.space.map(([option, values]) => [`Tries ${option}`, values] as const), ...sweep.facts].map(
            ([name, text]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{text}</dd>
              </div>
            ),
          )}
        </dl>
      </Fold>
    </section>
  );
}

function Best({ sweep }: { sweep: Sweep }) {
  const linked = useTraitValue<boolean>("linked");
  const [send, waiting] = useCommand();
  if (sweep.best.run === undefined) {
    return null;
  }
  return (
    <Button
      small
      kind="primary"
      title={
        linked
          ? "Fills the Train panel with the options of the best trial"
          : "Trains anew with the best trial's options"
      }
      disabled={waiting === "train_best"}
      onClick={() => send("train_best")}
    >
      Train the best
    </Button>
  );
}

function Trials({ sweep }: { sweep: Sweep }) {
  return sweep.rows.length === 0 ? (
    <p class="snb-empty snb-muted">No trial has begun yet.</p>
  ) : (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled by keyboard
    <section class="snb-tablewrap" tabIndex={0} aria-label="Table of trials">
      <table class="snb-table sweep-table">
        <caption class="snb-hidden">Trials in the order in which they were tried</caption>
        <thead>
          <tr>
            {["Trial", "State", ...sweep.heads, sweep.metric_title, "Step", "Time", "Run"].map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sweep.rows.map((row) => (
            <Row key={row.trial} row={row} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Row({ row }: { row: Trial }) {
  const linked = useTraitValue<boolean>("linked");
  const [send] = useCommand();
  return (
    <tr class={row.best ? "is-best" : ""}>
      <th scope="row">{row.trial}</th>
      <td>
        <Chip tone={TONES[row.state] ?? "plain"}>{row.words}</Chip>
        {row.best && <strong> best</strong>}
        {row.error && <span class="snb-muted sweep-error"> {row.error}</span>}
      </td>
      {[...row.cells, row.value, row.step, row.time].map((text, at) => (
        <td key={at}>{text || <span class="snb-muted">--</span>}</td>
      ))}
      <td>
        {linked && row.run ? (
          <Button small kind="quiet" aria-label={`Show run ${row.run}`} onClick={() => send("show", { run: row.run })}>
            {row.run}
          </Button>
        ) : (
          <code>{row.run || "--"}</code>
        )}
      </td>
    </tr>
  );
}

function Importance({ sweep }: { sweep: Sweep }) {
  return (
    <section class="snb-stack" aria-label="Importance">
      <h4>What mattered</h4>
      {sweep.importance.length === 0 ? (
        <p class="snb-muted">{sweep.importance_why}</p>
      ) : (
        <ul class="sweep-bars">
          {sweep.importance.map(([option, share]) => (
            <li key={option}>
              <span>{option}</span>
              <Progress label={`Importance of ${option}`} value={share} />
              <span>{Math.round(100 * share)} %</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
