/** What is judged, by whom, by which rubric, and what it may cost. */
import { Button, Field, Fold } from "../lib/controls";
import { type Choice, GroupedOptions } from "../lib/grouped";
import { useCommand, useTraitValue } from "../lib/model";
import { useDraft } from "../lib/use-draft";
import type { Choices, Chosen } from "./types";

const OPTIONS: [name: string, title: string, help: string][] = [
  ["limit", "Groups", "At most so many tasks, drawn by chance; empty takes all."],
  ["orders", "Orders", "In how many orders attempts are shown at most; empty is 4."],
  ["max_requests", "Prompts at most", "What is not asked then has no score."],
  ["max_cost", "US dollars at most", "Of an endpoint whose prices are known."],
];

export function JudgeForm({ working }: { working: boolean }) {
  const { sources = [], judges = [] } = useTraitValue<Partial<Choices>>("choices");
  const chosen = useTraitValue<Chosen>("chosen");
  const [send, waiting] = useCommand();
  const own = chosen.judge.startsWith("judge:");
  const blocked = working || waiting !== null;
  const ready = chosen.source !== "" && chosen.judge !== "" && Object.keys(chosen.problems).length === 0;
  return (
    <form
      class="judge-form"
      aria-label="What is judged"
      onSubmit={(event) => {
        event.preventDefault();
        if (!blocked && ready) send("start");
      }}
    >
      <div class="judge-fields">
        <Select
          label="Attempts"
          help="Of a task that was tried several times all attempts are shown side by side."
          value={chosen.source}
          options={sources}
          nothing={sources.length === 0 ? "Nothing to judge yet" : "Choose what is judged"}
          onChange={(source) => send("choose", { source })}
        />
        <Select
          label="Judge"
          help="One that is not loaded is loaded first."
          value={chosen.judge}
          options={judges}
          nothing="Choose a judge"
          onChange={(judge) => send("choose", { judge })}
        />
        <span class="snb-row judge-look">
          <Button kind="quiet" small disabled={waiting !== null} onClick={() => send("look")}>
            Look again
          </Button>
        </span>
      </div>
      {!own && <Rubric value={chosen.rubric} />}
      <Fold summary={own ? "How many" : "How many, how often, for how much"}>
        <div class="judge-fields">
          {OPTIONS.filter(([name]) => !own || name === "limit").map(([name, title, help]) => (
            <Option key={name} name={name} title={title} help={help} chosen={chosen} />
          ))}
        </div>
      </Fold>
      <div class="snb-row">
        <Button kind="primary" type="submit" disabled={blocked || !ready}>
          Judge
        </Button>
        {own && <span class="snb-muted">This judge has a rubric and options of its own.</span>}
      </div>
    </form>
  );
}

interface SelectProps {
  label: string;
  help: string;
  value: string;
  options: Choice[];
  nothing: string;
  onChange: (id: string) => void;
}

function Select({ label, help, value, options, nothing, onChange }: SelectProps) {
  return (
    <Field label={label} help={help}>
      {(ids) => (
        <select {...ids} class="snb-select" value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          <option value="">{nothing}</option>
          <GroupedOptions options={options} />
        </select>
      )}
    </Field>
  );
}

function Rubric({ value }: { value: string }) {
  const usual = useTraitValue<string>("usual");
  const [send, waiting] = useCommand();
  const [draft, edit, sent] = useDraft(value, waiting !== null);
  const keep = () => {
    if (draft !== value) {
      send("choose", { rubric: draft });
      sent();
    }
  };
  return (
    <Field label="Rubric" help="What makes an answer good, in plain words. Empty takes the usual one.">
      {(ids) => (
        <textarea
          {...ids}
          class="snb-input judge-rubric"
          rows={4}
          placeholder={usual}
          value={draft}
          onInput={(event) => edit(event.currentTarget.value)}
          onBlur={keep}
        />
      )}
    </Field>
  );
}

function Option({ name, title, help, chosen }: { name: string; title: string; help: string; chosen: Chosen }) {
  const [send, waiting] = useCommand();
  const value = chosen.options[name] ?? "";
  const [draft, edit, sent] = useDraft(value, waiting !== null);
  const keep = () => {
    if (draft !== value) {
      send("choose", { options: { [name]: draft } });
      sent();
    }
  };
  return (
    <Field label={title} help={help} error={chosen.problems[name] ?? ""}>
      {(ids) => (
        <input
          {...ids}
          class="snb-input"
          inputMode="decimal"
          value={draft}
          onInput={(event) => edit(event.currentTarget.value)}
          onBlur={keep}
        />
      )}
    </Field>
  );
}
