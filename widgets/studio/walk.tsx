/** The first walk: the steps of a job in order, what is done, and the next one with a button that goes there. */
import { Button } from "../lib/controls";
import { useLife } from "../lib/life";
import { useCommand, useTraitValue } from "../lib/model";

interface Step {
  id: string;
  title: string;
  about: string;
  tab: string;
  done: boolean;
}

interface State {
  shown?: boolean;
  steps?: Step[];
}

export function Walk({ open }: { open: (tab: string) => void }) {
  const { shown = false, steps = [] } = useTraitValue<State | undefined>("walk") ?? {};
  const [send, waiting] = useCommand();
  const life = useLife();
  if (!shown || steps.length === 0 || life !== "live") {
    return null;
  }
  const next = steps.find(({ done }) => !done);
  return (
    <section class="studio-walk" aria-label="First steps">
      <ol>
        {steps.map(({ id, title, done }) => (
          <li key={id} class={done ? "is-done" : ""} aria-current={id === next?.id ? "step" : undefined}>
            <span aria-hidden="true">{done ? "✓ " : ""}</span>
            {title}
            {done && <span class="snb-hidden"> (done)</span>}
          </li>
        ))}
      </ol>
      <div class="snb-row">
        {next === undefined ? (
          <span>From data to a served model: all steps are done.</span>
        ) : (
          <>
            <span>
              <b>{next.title}.</b> {next.about}
            </span>
            <Button small onClick={() => open(next.tab)}>
              Go to {next.title}
            </Button>
          </>
        )}
        <span class="snb-push">
          <Button kind="quiet" small disabled={waiting !== null} onClick={() => send("show_walk", { shown: false })}>
            Hide the first steps
          </Button>
        </span>
      </div>
    </section>
  );
}
