/** The tokens a loaded model sees of the open episode, a window at a time; trained ones are coloured and underlined. */
import { Button, Field, Fold } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { useCommand, useTraitValue } from "../lib/model";
import { Pager, range } from "../lib/pager";
import { StatusLine } from "../lib/status-line";
import { TokenText } from "../lib/token-text";
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
  const go = (to: number, there: boolean) => (there ? () => send("inspect", { begin: to }) : null);
  return (
    <>
      <p class="snb-muted">
        {found.summary}; trained ones are underlined. Chat template: {found.template}
      </p>
      {tokens.length < total && (
        <Pager
          label="Pages of tokens"
          back={[["Tokens before", go(Math.max(0, begin - tokens.length), begin > 0)]]}
          shown={range(begin, tokens.length, total)}
          on={[["Tokens after", go(begin + tokens.length, begin + tokens.length < total)]]}
        />
      )}
      <TokenText tokens={tokens} />
    </>
  );
}
