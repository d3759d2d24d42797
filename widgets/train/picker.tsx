/** A select whose options come in groups, and a heading that numbers a part of the form. */
import type { ComponentChildren } from "preact";
import { Field } from "../lib/controls";
import type { Choice } from "./types";

interface PickerProps {
  label: string;
  empty: string;
  choices: Choice[];
  value: string;
  onChange: (id: string) => void;
  help?: ComponentChildren;
}

export function Picker({ label, empty, choices, value, onChange, help }: PickerProps) {
  const groups = [...new Set(choices.map((choice) => choice.group))];
  const known = value === "" || choices.some((choice) => choice.id === value);
  return (
    <Field label={label} help={help}>
      {(ids) => (
        <select {...ids} class="snb-select" value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          <option value="">{empty}</option>
          {!known && <option value={value}>{value.slice(value.indexOf(":") + 1)}</option>}
          {groups.map((group) => (
            <optgroup key={group} label={group}>
              {choices
                .filter((choice) => choice.group === group)
                .map((choice) => (
                  <option key={choice.id} value={choice.id}>
                    {choice.title}
                  </option>
                ))}
            </optgroup>
          ))}
        </select>
      )}
    </Field>
  );
}

interface PartProps {
  name: string;
  title: string;
  /** Shown at the right end of the heading: what has been chosen. */
  chosen?: ComponentChildren;
  children: ComponentChildren;
}

export function FormPart({ name, title, chosen, children }: PartProps) {
  return (
    <section class="train-part" aria-label={title} data-part={name}>
      <div class="train-parthead">
        <h2>{title}</h2>
        {chosen}
      </div>
      {children}
    </section>
  );
}
