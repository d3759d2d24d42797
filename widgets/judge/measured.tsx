/** How good the judge is, by people's verdicts, in sentences with intervals; and the attempts that people are asked about. */
import { Button, Chip, Field } from "../lib/controls";
import { count, counted } from "../lib/format";
import { KEY_OF, onKeys, useOnce } from "../lib/keys";
import { useCommand, useTraitValue } from "../lib/model";
import { useDraft } from "../lib/use-draft";
import type { Click, Measured } from "./types";

export function MeasuredBy() {
  const measured = useTraitValue<Measured | Record<string, never>>("measured");
  return (
    <section class="judge-measured" aria-label="How good the judge is">
      <div class="snb-row">
        <h3>How good the judge is</h3>
        {measured.chance && <Chip tone="bad">no better than chance</Chip>}
      </div>
      {measured.enough ? (
        <>
          <ul class="judge-lines">
            {(measured.sentences ?? []).map((sentence) => (
              <li key={sentence}>{sentence}</li>
            ))}
          </ul>
          <Width measured={measured as Measured} />
        </>
      ) : (
        <p class="snb-muted">
          {counted(measured.given ?? 0, "verdict")} of {measured.least ?? 8} that are needed before anything can be said
          of it. Give some below, on attempts that are drawn by chance.
        </p>
      )}
      <YourVerdict />
    </section>
  );
}

function Width({ measured }: { measured: Measured }) {
  const [send, waiting] = useCommand();
  const [draft, edit, sent] = useDraft(String(measured.width), waiting !== null);
  const width = Number(draft);
  const wrong = !(width > 0 && width < 1);
  const set = () => {
    if (!wrong && width !== measured.width) {
      send("width", { width });
      sent();
    }
  };
  return (
    <div class="snb-row judge-width">
      <p>{measured.narrower}</p>
      <Field label="Wanted width" error={wrong ? "Give a number between 0 and 1." : ""}>
        {(ids) => (
          <input
            {...ids}
            class="snb-input judge-number"
            inputMode="decimal"
            value={draft}
            onInput={(event) => edit(event.currentTarget.value)}
            onBlur={set}
            onKeyDown={(event) => event.key === "Enter" && set()}
          />
        )}
      </Field>
    </div>
  );
}

function YourVerdict() {
  const click = useTraitValue<Click | Record<string, never>>("click");
  const [send, waiting] = useCommand();
  const once = useOnce(waiting !== null);
  if (!("left" in click)) {
    return null;
  }
  const at = click.number;
  const answer = (kind: string, value?: number) =>
    once(`${at}`, () => at !== undefined && send(kind, { number: at, ...(value === undefined ? {} : { value }) }));
  const rate = (value: number) => answer("rate", value);
  const skip = answer("skip");
  const undo = once(`undo ${click.given} ${click.left}`, () => click.undo && send("undo"));
  const keys = onKeys({ g: rate(1), b: rate(0), h: rate(0.5), s: skip, u: undo });
  return (
    <section class="judge-click" aria-label="Your verdict" onKeyDown={keys}>
      <p class="snb-muted">
        {counted(click.given as number, "verdict")} given, {count(click.left as number)} left.{" "}
        {click.kept
          ? "They are kept with the recording."
          : "They are kept as long as this panel is open; those on a recording are kept with it."}
      </p>
      {at !== undefined && (
        <>
          <div class="judge-text">
            <b>Task</b>
            <p>{click.task}</p>
          </div>
          <div class="judge-text">
            <b>Answer</b>
            <p>{click.answer}</p>
          </div>
        </>
      )}
      <div class="snb-row">
        {at !== undefined && (
          <>
            <Button small {...KEY_OF("g")} onClick={rate(1)}>
              Good <kbd>g</kbd>
            </Button>
            <Button small {...KEY_OF("h")} onClick={rate(0.5)}>
              Half <kbd>h</kbd>
            </Button>
            <Button small {...KEY_OF("b")} onClick={rate(0)}>
              Bad <kbd>b</kbd>
            </Button>
            <Button kind="quiet" small {...KEY_OF("s")} onClick={skip}>
              Skip <kbd>s</kbd>
            </Button>
          </>
        )}
        <Button kind="quiet" small disabled={!click.undo} {...KEY_OF("u")} onClick={undo}>
          Undo <kbd>u</kbd>
        </Button>
      </div>
    </section>
  );
}
