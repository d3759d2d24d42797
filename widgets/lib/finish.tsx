/** What can be done with a run that has ended. In Studio a button opens the panel that does it; alone it shows the cell. */
import { useState } from "preact/hooks";
import { Button, Fold, Segmented } from "./controls";
import { CodeBlock } from "./copy-code";
import { useCommand, useTraitValue } from "./model";

export interface Finish {
  id: string;
  title: string;
  about: string;
  code: string;
}

interface FinishProps {
  actions: readonly Finish[];
  run: string;
  small?: boolean;
}

export function FinishButtons({ actions, run, small = false }: FinishProps) {
  const linked = useTraitValue<boolean | undefined>("finishes_linked") ?? false;
  const [send, waiting] = useCommand();
  const [shown, show] = useState("");
  const first = actions[0];
  if (first === undefined) {
    return null;
  }
  const chosen = actions.find(({ id }) => id === shown);
  const coded = chosen ?? first;
  const press = (id: string) => {
    if (id === "resume") send("resume", { run });
    else if (linked) send("finish", { action: id, run });
    else show(id === shown ? "" : id);
  };
  return (
    <section class="snb-stack snb-finish" aria-label="What next">
      <div class="snb-row">
        <b>What next</b>
        {actions.map(({ id, title, about }, at) => (
          <Button
            key={id}
            small={small}
            kind={at === 0 ? "primary" : "plain"}
            title={about}
            disabled={waiting !== null}
            aria-expanded={linked || id === "resume" ? undefined : id === shown}
            onClick={() => press(id)}
          >
            {title}
          </Button>
        ))}
      </div>
      {!linked && chosen !== undefined && (
        <div class="snb-stack">
          <p class="snb-muted">{chosen.about} This cell does it; in a Studio the button opens the panel that does.</p>
          <CodeBlock title={`${chosen.title}, as code`} code={chosen.code} />
        </div>
      )}
      {linked && (
        <Fold summary="Copy what next as code">
          <div class="snb-stack">
            <div class="snb-row">
              <Segmented
                label="Code for"
                value={coded.id}
                options={actions.map(({ id, title }) => [id, title] as const)}
                onChange={show}
              />
            </div>
            <p class="snb-muted">{coded.about}</p>
            <CodeBlock title={`${coded.title}, as code`} code={coded.code} />
          </div>
        </Fold>
      )}
    </section>
  );
}
