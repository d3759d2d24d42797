/** The tokens the model will see of one row; those that are trained are coloured and underlined. */
import { Fragment } from "preact";
import { useState } from "preact/hooks";
import { Button, Fold } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { count } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { TokenText } from "../lib/token-text";
import type { Inspection, ModelState } from "./types";

export function Inspector({ rows }: { rows: number }) {
  const found = useTraitValue<Inspection>("inspection");
  const model = useTraitValue<ModelState>("model_state");
  const [send] = useCommand();
  const [open, setOpen] = useState(false);
  const row = found.row ?? 0;
  const show = (next: number) => send("inspect", { row: Math.min(rows - 1, Math.max(0, next)) });
  const toggle = (now: boolean) => {
    setOpen(now);
    if (now && model.stage === "ready" && found.stage === "none") {
      show(0);
    }
  };
  return (
    <Fold summary="Tokens the model will see" open={open} onToggle={toggle}>
      {model.stage !== "ready" ? (
        <p class="snb-muted">Load a model first: its tokenizer makes the tokens.</p>
      ) : (
        <div class="snb-stack">
          <div class="snb-row">
            <Button small onClick={() => show(row - 1)} disabled={row <= 0} aria-label="Row before">
              ‹
            </Button>
            <span>
              Row {row + 1} of {count(rows)}
            </span>
            <Button small onClick={() => show(row + 1)} disabled={row >= rows - 1} aria-label="Row after">
              ›
            </Button>
            {found.stage === "none" && (
              <Button small onClick={() => show(row)}>
                Show
              </Button>
            )}
            {found.summary && <span class="snb-muted">{found.summary}; trained ones are underlined</span>}
          </div>
          {found.error && <ErrorCard error={found.error} />}
          {found.sequences?.map((sequence, at) => (
            <Fragment key={at}>
              {found.captions?.[at] && <h3>{found.captions[at]}</h3>}
              <TokenText tokens={sequence} />
            </Fragment>
          ))}
          {found.template_source && (
            <p class="snb-muted">
              Chat template: {found.template_source}, {found.template_reason}
            </p>
          )}
        </div>
      )}
    </Fold>
  );
}
