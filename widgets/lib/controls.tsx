/** Buttons, choices, sliders, tabs and folds that look and behave the same in every panel. */
import type { ComponentChildren, JSX } from "preact";
import { useRef } from "preact/hooks";
import { useId } from "./use-id";

interface ButtonProps extends Omit<JSX.IntrinsicElements["button"], "class" | "icon"> {
  kind?: "plain" | "primary" | "danger" | "quiet";
  small?: boolean;
  children: ComponentChildren;
}

export function Button({ kind = "plain", small = false, children, ...rest }: ButtonProps) {
  return (
    <button type="button" class={`snb-button snb-button--${kind}${small ? " snb-button--small" : ""}`} {...rest}>
      {children}
    </button>
  );
}

interface SegmentedProps<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [value: T, text: string])[];
  onChange: (value: T) => void;
  disabled?: boolean;
}

/** A choice of a few; a radio group underneath, so the arrow keys work. */
export function Segmented<T extends string>({ label, value, options, onChange, disabled }: SegmentedProps<T>) {
  const name = useId();
  return (
    <fieldset class="snb-segmented" disabled={disabled}>
      <legend class="snb-hidden">{label}</legend>
      {options.map(([option, text]) => (
        <label key={option} class={option === value ? "is-on" : ""}>
          <input type="radio" name={name} value={option} checked={option === value} onChange={() => onChange(option)} />
          {text}
        </label>
      ))}
    </fieldset>
  );
}

interface SliderProps {
  label: string;
  value: number;
  min: number;
  max: number;
  step: number;
  format?: (value: number) => string;
  onInput: (value: number) => void;
}

export function Slider({ label, value, min, max, step, format = String, onInput }: SliderProps) {
  const id = useId();
  return (
    <div class="snb-slider">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        aria-valuetext={format(value)}
        style={{ "--snb-filled": `${((value - min) / (max - min)) * 100}%` }}
        onInput={(event) => onInput(Number(event.currentTarget.value))}
      />
      <output for={id}>{format(value)}</output>
    </div>
  );
}

interface ToggleProps {
  label: ComponentChildren;
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
}

export function Toggle({ label, checked, onChange, disabled }: ToggleProps) {
  return (
    <label class="snb-toggle">
      <input
        type="checkbox"
        role="switch"
        aria-checked={checked}
        checked={checked}
        disabled={disabled}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <span>{label}</span>
    </label>
  );
}

interface FieldProps {
  label: ComponentChildren;
  help?: ComponentChildren;
  error?: string;
  unit?: string;
  /** Receives the ids that tie label, help and error to the control. */
  children: (ids: { id: string; "aria-describedby": string | undefined; "aria-invalid": boolean }) => ComponentChildren;
}

/** A labelled form field; the control inside takes class `snb-input` (input, textarea) or `snb-select`. */
export function Field({ label, help, error, unit, children }: FieldProps) {
  const id = useId();
  const described = help || error ? `${id}-help` : undefined;
  return (
    <div class={`snb-field${error ? " is-wrong" : ""}`}>
      <label for={id}>
        {label}
        {unit && <span class="snb-muted"> ({unit})</span>}
      </label>
      {children({ id, "aria-describedby": described, "aria-invalid": Boolean(error) })}
      {described && (
        <p id={described} class={error ? "snb-field-error" : "snb-field-help"}>
          {error || help}
        </p>
      )}
    </div>
  );
}

export interface Tab {
  id: string;
  title: ComponentChildren;
  body: () => ComponentChildren;
  count?: number;
}

interface TabsProps {
  label: string;
  tabs: Tab[];
  selected: string;
  onSelect: (id: string) => void;
}

/** Tabs with roving focus: arrow keys, Home and End move the selection. */
export function Tabs({ label, tabs, selected, onSelect }: TabsProps) {
  const base = useId();
  const row = useRef<HTMLDivElement>(null);
  const current = tabs.find((tab) => tab.id === selected) ?? tabs[0];
  const onKeyDown = (event: KeyboardEvent) => rove(event, tabs, current?.id, row.current, onSelect);
  return (
    <div class="snb-tabs">
      <div class="snb-tabrow" role="tablist" aria-label={label} ref={row} onKeyDown={onKeyDown}>
        {tabs.map((tab) => (
          <button
            key={tab.id}
            type="button"
            role="tab"
            id={`${base}-${tab.id}`}
            aria-selected={tab === current}
            aria-controls={`${base}-body`}
            tabIndex={tab === current ? 0 : -1}
            class="snb-tab"
            onClick={() => onSelect(tab.id)}
          >
            {tab.title}
            {tab.count !== undefined && tab.count > 0 && <span class="snb-count">{tab.count}</span>}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${base}-body`} aria-labelledby={`${base}-${current?.id}`} class="snb-tabbody">
        {current?.body()}
      </div>
    </div>
  );
}

/** Move the selection of a row of tab-like elements by keyboard; returns nothing, focuses the new one. */
export function rove(
  event: KeyboardEvent,
  items: readonly { id: string }[],
  selected: string | undefined,
  row: HTMLElement | null,
  onSelect: (id: string) => void,
): void {
  const at = items.findIndex((item) => item.id === selected);
  const moves: Record<string, number> = {
    ArrowRight: (at + 1) % items.length,
    ArrowDown: (at + 1) % items.length,
    ArrowLeft: (at - 1 + items.length) % items.length,
    ArrowUp: (at - 1 + items.length) % items.length,
    Home: 0,
    End: items.length - 1,
  };
  const next = moves[event.key];
  const target = next === undefined ? undefined : items[next];
  if (next === undefined || target === undefined) {
    return;
  }
  event.preventDefault();
  onSelect(target.id);
  (row?.querySelectorAll<HTMLElement>('[role="tab"]')[next] ?? null)?.focus();
}

interface FoldProps {
  summary: ComponentChildren;
  open?: boolean;
  children: ComponentChildren;
  onToggle?: (open: boolean) => void;
}

export function Fold({ summary, open, children, onToggle }: FoldProps) {
  return (
    <details class="snb-fold" open={open} onToggle={(event) => onToggle?.(event.currentTarget.open)}>
      <summary>{summary}</summary>
      <div class="snb-foldbody">{children}</div>
    </details>
  );
}

export function Chip({
  tone = "plain",
  children,
}: {
  tone?: "plain" | "accent" | "good" | "warn" | "bad";
  children: ComponentChildren;
}) {
  return <span class={`snb-chip snb-chip--${tone}`}>{children}</span>;
}

/** Progress of a known amount, or of an unknown one where `value` is null. */
export function Progress({ label, value, tone = "accent" }: { label: string; value: number | null; tone?: string }) {
  const share = value === null ? undefined : Math.round(Math.min(1, Math.max(0, value)) * 100);
  return (
    <div
      class={`snb-progress snb-progress--${tone}${share === undefined ? " is-unknown" : ""}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={share}
    >
      <div style={{ width: `${share ?? 30}%` }} />
    </div>
  );
}
