/** The checkpoints of a run: which is its result, how well each knows the held-out rows, and what to do with one. */
import { useState } from "preact/hooks";
import { Button, Chip, Progress } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { count, number } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { type Checkpoint, isActive, type Losses, type Status } from "./types";

const MOST_AT_ONCE = 4;

export function Checkpoints({ checkpoints }: { checkpoints: Checkpoint[] }) {
  const losses = useTraitValue<Losses>("losses");
  const linked = useTraitValue<boolean | undefined>("finishes_linked") ?? false;
  const ended = !isActive(useTraitValue<Status>("status").status);
  const [picked, pick] = useState<number[]>([]);
  const [send, waiting] = useCommand();
  if (checkpoints.length === 0) {
    return <p class="snb-muted">No checkpoint yet.</p>;
  }
  const there = checkpoints.filter(({ gone }) => !gone);
  const steps = picked.filter((step) => there.some((each) => each.step === step));
  const measured = losses.losses !== undefined;
  return (
    <div class="snb-stack">
      {ended && (
        <div class="snb-row">
          <Button disabled={losses.stage === "working"} onClick={() => send("measure")}>
            Compare by held-out loss
          </Button>
          {linked && (
            <Button
              disabled={steps.length === 0 || waiting !== null}
              onClick={() => send("finish", { action: "chat", steps })}
            >
              Compare by chat
            </Button>
          )}
          <span class="snb-muted">
            {linked ? "Tick those that shall answer beside the tuned model and the base." : ""}
          </span>
        </div>
      )}
      {losses.stage === "working" && (
        <Progress
          label={`Measured: ${losses.done ?? 0} of ${losses.total ?? 0}`}
          value={losses.total ? (losses.done ?? 0) / losses.total : null}
        />
      )}
      {losses.error && <ErrorCard error={losses.error} />}
      {measured && losses.rows !== undefined && (
        <p>
          On {count(losses.rows)} held-out rows the base has a loss of <b>{number(losses.losses?.base ?? null)}</b>.
        </p>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard */}
      <section class="snb-tablewrap" tabIndex={0} aria-label="Checkpoints">
        <table class="snb-table">
          <caption class="snb-hidden">Checkpoints, newest first</caption>
          <thead>
            <tr>
              {linked && ended && <th scope="col">Chat</th>}
              <th scope="col" class="is-number">
                Step
              </th>
              <th scope="col">Kind</th>
              <th scope="col" class="is-number">
                Eval loss
              </th>
              {measured && (
                <th scope="col" class="is-number">
                  Held-out loss
                </th>
              )}
              {ended && <th scope="col">Do</th>}
              <th scope="col">Folder</th>
            </tr>
          </thead>
          <tbody>
            {checkpoints.toReversed().map((each) => (
              <tr key={each.path}>
                {linked && ended && (
                  <td>
                    <input
                      type="checkbox"
                      aria-label={`Chat with step ${each.step}`}
                      checked={steps.includes(each.step)}
                      disabled={each.gone || (steps.length >= MOST_AT_ONCE && !steps.includes(each.step))}
                      onChange={({ currentTarget: { checked } }) =>
                        pick(checked ? [...steps, each.step] : steps.filter((step) => step !== each.step))
                      }
                    />
                  </td>
                )}
                <th scope="row" class="is-number">
                  {each.step}
                </th>
                <td>
                  {each.result && <Chip tone="good">result</Chip>}{" "}
                  {[each.final && "last", each.best && "best", each.gone && "deleted since"]
                    .filter(Boolean)
                    .join(", ") || "regular"}
                </td>
                <td class="is-number">{number(each.eval_loss)}</td>
                {measured && <td class="is-number">{number(losses.losses?.[String(each.step)] ?? null)}</td>}
                {ended && (
                  <td>
                    <Actions checkpoint={each} linked={linked} />
                  </td>
                )}
                <td>
                  <code>{each.path}</code>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </div>
  );
}

function Actions({ checkpoint, linked }: { checkpoint: Checkpoint; linked: boolean }) {
  const [send, waiting] = useCommand();
  if (checkpoint.gone) {
    return null;
  }
  const { step } = checkpoint;
  return (
    <span class="snb-row">
      {!checkpoint.result && (
        <Button
          small
          disabled={waiting !== null}
          aria-label={`Make step ${step} the result`}
          title="What loading, exporting and serving this run take from now on"
          onClick={() => send("promote", { step })}
        >
          Make it the result
        </Button>
      )}
      {linked && (
        <Button
          small
          disabled={waiting !== null}
          aria-label={`Branch from step ${step}`}
          onClick={() => send("finish", { action: "branch", steps: [step] })}
        >
          Branch
        </Button>
      )}
    </span>
  );
}
