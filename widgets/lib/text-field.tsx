/** One line of text with its label. */
import type { ComponentChildren } from "preact";
import { Field } from "./controls";

interface Props {
  label: string;
  help?: string;
  error?: string;
  value: string;
  onValue: (value: string) => void;
  digits?: boolean;
  /** What stands beside the text, such as a button that takes it. */
  children?: ComponentChildren;
}

export function TextField({ label, help, error, value, onValue, digits = false, children }: Props) {
  return (
    <Field label={label} help={help} error={error}>
      {(ids) => {
        const line = (
          <input
            {...ids}
            type="text"
            class="snb-input"
            inputMode={digits ? "numeric" : undefined}
            value={value}
            onInput={(event) => onValue(event.currentTarget.value)}
          />
        );
        return children === undefined ? (
          line
        ) : (
          <div class="snb-row">
            {line}
            {children}
          </div>
        );
      }}
    </Field>
  );
}
