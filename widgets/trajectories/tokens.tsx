/** The tokens a loaded model sees of the open episode, a window at a time; trained ones are coloured and underlined. */
import { Button, Field, Fold } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { count } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { StatusLine } from "../lib/status-line";
import type { Choices, Inspection } from "./types";

export function Tokens({ rented }: { rented: string[] }) {
  const found = useTraitValue<Inspection>("inspection");
  const chosen = useTraitValue<string>("tokens_of");
  const { models } = useTraitValue<Choices>("choices");
  const [send] = useCommand();
  const toggle = (open: boolean) => open && chosen !== "" && found.stage === "none" && send("inspect");
  return (
    <Fold summary="Tokens and mask" onToggle={toggle}>
      <div class="snb-stack">
        <div class="snb-row">
          <Field label="Loaded model">
            {(ids) => (
              <select
                {...ids}
                class="snb-select"
                value={chosen}
                onFocus={() => send("look")}
                onChange={(event) => send("model", { choice: event.currentTarget.value })}
              >
                <option value="">none</option>
                {models.map(({ id, title }) => (
                  <option key={id} value={id}>
                    {title}
                  </option>
                ))}
              </select>
            )}
          </Field>
          {chosen !== "" && found.stage === "none" && (
            <Button small onClick={() => send("inspect")}>
              Show the tokens
            </Button>
          )}
        </div>
        {rented.length > 0 && (
          <p class="snb-muted">
            Answers of {rented.join(", ")}: the provider's terms may restrict training other models on them. Read them
            first.
          </p>
        )}
        {models.length === 0 && <p class="snb-muted">Load a model in a cell first: its tokenizer makes the tokens.</p>}
        <StatusLine hidden={found.stage !== "loading"}>{found.stage === "loading" ? "Rendering…" : ""}</StatusLine>
        {found.error && <ErrorCard error={found.error} />}
        {found.stage === "ready" && <Shown found={found} />}
      </div>
    </Fold>
  );
}

function Shown({ found }: { found: Inspection }) {
  const [send] = useCommand();
  const { tokens = [], begin = 0, total = 0 } = found;
  return (
    <>
      <p class="snb-muted">
        {found.summary}; trained ones are underlined. Chat template: {found.template}
      </p>
      {tokens.length < total && (
        <div class="snb-row">
          <Button
            small
            disabled={begin === 0}
            onClick={() => send("inspect", { begin: Math.max(0, begin - tokens.length) })}
          >
            Tokens before
          </Button>
          <span>
            {count(begin + 1)} to {count(begin + tokens.length)} of {count(total)}
          </span>
          <Button
            small
            disabled={begin + tokens.length >= total}
            onClick={() => send("inspect", { begin: begin + tokens.length })}
          >
            Tokens after
          </Button>
        </div>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard */}
      <pre class="trajectories-tokens" tabIndex={0}>
        {tokens.map(([id, text, trained, special], at) => {
          const shared = { key: at, title: `token ${id}`, class: special ? "is-special" : undefined };
          return trained ? <ins {...shared}>{text}</ins> : <span {...shared}>{text}</span>;
        })}
      </pre>
    </>
  );
}
