/** A model that is there, or one that is named: a folder, a run, a file, an address. */
import { Field } from "./controls";
import { type Choice, GroupedOptions } from "./grouped";

/** The value of the choice to name one. */
export const OTHER = "";

interface Props {
  options: Choice[];
  help: string;
  other: string;
  value: string;
  disabled?: boolean;
  onValue: (value: string) => void;
}

export function SourceField({ options, help, other, value, disabled = false, onValue }: Props) {
  return (
    <Field label="Model" help={help}>
      {(ids) => (
        <select
          {...ids}
          class="snb-select"
          disabled={disabled}
          value={value}
          onChange={(event) => onValue(event.currentTarget.value)}
        >
          <GroupedOptions options={options} />
          <option value={OTHER}>{other}</option>
        </select>
      )}
    </Field>
  );
}
