/** What is evaluated: models and suites to tick, rows of one's own with a scorer, and a few options. */
import { useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";
import { GroupedOptions, groups } from "../lib/grouped";
import { useCommand, useTraitValue } from "../lib/model";
import { useDraft } from "../lib/use-draft";
import { useId } from "../lib/use-id";
import type { Choice, Choices, Chosen } from "./types";

export function Choose({ busy }: { busy: boolean }) {
  return (
    <div class="evaluate-choose">
      <Models busy={busy} />
      <Suites busy={busy} />
      <Options busy={busy} />
    </div>
  );
}

interface TicksProps {
  legend: string;
  options: Choice[];
  ticked: readonly string[];
  disabled: boolean;
  /** The command that a tick sends, with `choice` and `on`. */
  command: string;
}

function Ticks({ legend, options, ticked, disabled, command }: TicksProps) {
  return (
    <fieldset class="evaluate-ticks" disabled={disabled}>
      <legend>{legend}</legend>
      {groups(options).map(([group, members]) => (
        <div key={group} class="evaluate-group">
          <span class="snb-muted">{group}</span>
          {members.map((option) => (
            <Tick key={option.id} option={option} ticked={ticked.includes(option.id)} command={command} />
          ))}
        </div>
      ))}
    </fieldset>
  );
}

function Tick({ option, ticked, command }: { option: Choice; ticked: boolean; command: string }) {
  const [send, waiting] = useCommand();
  const [shown, edit, sent] = useDraft(ticked, waiting !== null);
  const id = useId();
  return (
    <label>
      <input
        type="checkbox"
        checked={shown}
        aria-labelledby={`${id}-title`}
        aria-describedby={option.about ? `${id}-about` : undefined}
        onChange={(event) => {
          edit(event.currentTarget.checked);
          send(command, { choice: option.id, on: event.currentTarget.checked });
          sent();
        }}
      />
      <span id={`${id}-title`}>{option.title}</span>
      {option.about && (
        <small id={`${id}-about`} class="snb-muted evaluate-about">
          {option.about}
        </small>
      )}
    </label>
  );
}

function Models({ busy }: { busy: boolean }) {
  const choices = useTraitValue<Choices>("choices");
  const chosen = useTraitValue<Chosen>("chosen");
  const [send] = useCommand();
  return (
    <section aria-label="Models" class="evaluate-column">
      <div class="evaluate-scroll">
        <Ticks
          legend="Models"
          options={choices.models ?? []}
          ticked={chosen.models}
          disabled={busy}
          command="choose_model"
        />
      </div>
      <div>
        <Button small kind="quiet" disabled={busy} onClick={() => send("look")}>
          Look again
        </Button>
      </div>
    </section>
  );
}

function Suites({ busy }: { busy: boolean }) {
  const choices = useTraitValue<Choices>("choices");
  const chosen = useTraitValue<Chosen>("chosen");
  const own = chosen.suites.filter(({ id }) => id.startsWith("rows:"));
  const added: Choice[] = own.map(({ id, scorer }) => ({
    id,
    title: id.slice(5),
    about: `your rows, scored by ${scorer?.split(":")[1] ?? ""}`,
    group: "Your rows",
  }));
  return (
    <section aria-label="Suites" class="evaluate-column">
      <div class="evaluate-scroll">
        <Ticks
          legend="Suites"
          options={[...added, ...(choices.suites ?? [])]}
          ticked={chosen.suites.map(({ id }) => id)}
          disabled={busy}
          command="choose_suite"
        />
      </div>
      <OwnRows busy={busy} />
    </section>
  );
}

function OwnRows({ busy }: { busy: boolean }) {
  const choices = useTraitValue<Choices>("choices");
  const [data, setData] = useState("");
  const [scorer, setScorer] = useState("");
  const [send] = useCommand();
  const select = (label: string, value: string, set: (value: string) => void, options: Choice[]) => (
    <Field label={label}>
      {(ids) => (
        <select
          {...ids}
          class="snb-select"
          value={value}
          disabled={busy}
          onFocus={() => send("look")}
          onChange={(event) => set(event.currentTarget.value)}
        >
          <option value="">Choose</option>
          <GroupedOptions options={options} />
        </select>
      )}
    </Field>
  );
  return (
    <div class="evaluate-own">
      {select("Your rows", data, setData, choices.data ?? [])}
      {select("Scorer", scorer, setScorer, choices.scorers ?? [])}
      <Button
        small
        disabled={busy || data === "" || scorer === ""}
        onClick={() => {
          send("add_rows", { data, scorer });
          setData("");
          setScorer("");
        }}
      >
        Add rows
      </Button>
    </div>
  );
}

const OPTIONS: readonly (readonly [name: string, label: string, help: string, placeholder: string])[] = [
  ["limit", "Items of each suite", "Drawn with a fixed seed; empty asks all.", "all"],
  ["samples", "Answers to each item", "More than one needs a temperature.", "1"],
  ["temperature", "Temperature", "Empty is the suites' own: 0.", "the suites' own"],
  ["max_new_tokens", "Longest answer", "In tokens.", "the suites' own"],
  ["name", "Name", "One that was begun by this name goes on.", "by the time"],
];

function Options({ busy }: { busy: boolean }) {
  return (
    <section aria-label="Options" class="evaluate-column">
      {OPTIONS.map(([name, label, help, placeholder]) => (
        <Option key={name} name={name} label={label} help={help} placeholder={placeholder} busy={busy} />
      ))}
    </section>
  );
}

interface OptionProps {
  name: string;
  label: string;
  help: string;
  placeholder: string;
  busy: boolean;
}

function Option({ name, label, help, placeholder, busy }: OptionProps) {
  const chosen = useTraitValue<Chosen>("chosen");
  const [send, waiting] = useCommand();
  const [shown, edit, sent] = useDraft(chosen.options[name] ?? "", waiting !== null);
  return (
    <Field label={label} help={help} error={chosen.problems[name]}>
      {(ids) => (
        <input
          {...ids}
          class="snb-input"
          value={shown}
          placeholder={placeholder}
          disabled={busy}
          onInput={(event) => edit(event.currentTarget.value)}
          onChange={(event) => {
            sent();
            send("set_option", { name, value: event.currentTarget.value });
          }}
        />
      )}
    </Field>
  );
}
