/** The fourth part of the form: fields generated from TrainConfig, simple ones first, the others folded. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Button, Fold, Field as Labelled, Toggle } from "../lib/controls";
import { useTraitValue } from "../lib/model";
import {
  defaultOf,
  type Field,
  groups,
  isEmpty,
  linesOf,
  placeholder,
  range,
  toggled,
  type Value,
  type Values,
} from "./form";
import { FormPart } from "./picker";
import type { Choices } from "./types";

export interface Form {
  values?: Values;
  problems?: Record<string, string>;
  unsupported?: Record<string, string>;
  resolved?: Record<string, unknown>;
  changed_advanced?: number;
}

interface OptionsProps {
  onChange: (values: Values) => void;
  onReset: () => void;
  onPending: (pending: boolean) => void;
}

const PAUSE_MS = 200;

export function OptionsPart({ onChange, onReset, onPending }: OptionsProps) {
  const fields = useTraitValue<Field[]>("fields");
  const form = useTraitValue<Form>("form");
  const [drafts, setDrafts] = useState<Values>({});
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const unsent = useRef<Values>({});
  useEffect(() => () => clearTimeout(timer.current), []);
  // What the kernel has taken over is no draft any more.
  useEffect(() => {
    setDrafts((now) => {
      const open = Object.entries(now).filter(([name, value]) => (form.values?.[name] ?? "") !== (value ?? ""));
      return open.length === Object.keys(now).length ? now : Object.fromEntries(open);
    });
  }, [form]);

  const pending = Object.keys(drafts).length > 0;
  useEffect(() => onPending(pending), [pending, onPending]);

  const flush = () => {
    clearTimeout(timer.current);
    if (Object.keys(unsent.current).length > 0) {
      onChange(unsent.current);
      unsent.current = {};
    }
  };
  const edit = (name: string, value: Value) => {
    setDrafts((now) => ({ ...now, [name]: value }));
    unsent.current = { ...unsent.current, [name]: value };
    clearTimeout(timer.current);
    timer.current = setTimeout(flush, PAUSE_MS);
  };
  const reset = () => {
    clearTimeout(timer.current);
    unsent.current = {};
    setDrafts({});
    onReset();
  };

  const values = { ...form.values, ...drafts };
  const show = { unsupported: form.unsupported ?? {}, values };
  const simple = groups(fields, { ...show, advanced: false });
  const advanced = groups(fields, { ...show, advanced: true });
  const changed = form.changed_advanced ?? 0;
  const wrongInside = advanced.some((group) => group.fields.some((field) => form.problems?.[field.name]));
  const isSet = Object.values(values).some((value) => !isEmpty(value));
  const control = (field: Field) => (
    <Control
      key={field.name}
      field={field}
      value={values[field.name] ?? null}
      resolved={form.resolved ?? {}}
      problem={form.problems?.[field.name] ?? ""}
      onEdit={(value) => edit(field.name, value)}
      onLeave={flush}
    />
  );
  return (
    <FormPart
      name="options"
      title="Options"
      chosen={
        isSet ? (
          <Button kind="quiet" small onClick={reset}>
            Reset all
          </Button>
        ) : null
      }
    >
      <div class="train-fields">{simple.flatMap((group) => group.fields.map(control))}</div>
      <Fold summary={`Advanced options${changed > 0 ? ` (${changed} changed)` : ""}`} open={wrongInside || undefined}>
        <div class="snb-stack">
          {advanced.map((group) => (
            <fieldset key={group.name} class="train-group">
              <legend class="train-label">{group.title}</legend>
              <div class="train-fields">{group.fields.map(control)}</div>
            </fieldset>
          ))}
        </div>
      </Fold>
    </FormPart>
  );
}

interface ControlProps {
  field: Field;
  value: Value;
  /** What an empty field means for this method, where that is more than the field's default. */
  resolved: Record<string, unknown>;
  problem: string;
  onEdit: (value: Value) => void;
  onLeave: () => void;
}

function Control({ field, value, resolved, problem, onEdit, onLeave }: ControlProps) {
  const hint = placeholder(field, resolved);
  const unset = defaultOf(field, resolved);
  const limits = range(field);
  // The name and the range are one hover away, and read out with the help.
  const more = `${field.name}${limits && `: ${limits}`}`;
  const help = (
    <>
      {field.help} <span class="snb-hidden">{more}</span>
    </>
  );
  if (field.kind === "bool" && !field.optional) {
    return (
      <div class="snb-field" title={more}>
        <Toggle
          label={field.title}
          checked={value === null ? Boolean(unset) : Boolean(value)}
          onChange={(on) => onEdit(on === unset ? null : on)}
        />
        <p class="snb-field-help">{help}</p>
      </div>
    );
  }
  const text = value === null ? "" : String(value);
  const shared = { "data-option": field.name, onBlur: onLeave, title: more };
  return (
    <Labelled label={field.title} unit={field.unit} help={help} error={problem && `${field.title} ${problem}.`}>
      {(ids) => {
        if (field.kind === "choice" || field.kind === "bool") {
          const options = field.kind === "bool" ? ["true", "false"] : field.choices.filter((c) => c !== unset);
          return (
            <select
              {...ids}
              {...shared}
              class="snb-select"
              value={text}
              onChange={(event) => onEdit(event.currentTarget.value)}
            >
              <option value="">{hint}</option>
              {options.map((option) => (
                <option key={option} value={option}>
                  {option}
                </option>
              ))}
            </select>
          );
        }
        if (field.kind === "list") {
          return (
            <>
              <textarea
                {...ids}
                {...shared}
                class="snb-input"
                rows={2}
                placeholder={`${hint} (one a line)`}
                value={text}
                onInput={(event) => onEdit(event.currentTarget.value)}
              />
              {field.functions && <Functions kind={field.functions} text={text} onEdit={onEdit} onLeave={onLeave} />}
            </>
          );
        }
        return (
          <>
            <input
              {...ids}
              {...shared}
              class="snb-input"
              inputMode={field.kind === "str" ? "text" : "decimal"}
              placeholder={hint}
              spellcheck={false}
              value={text}
              onInput={(event) => onEdit(event.currentTarget.value)}
            />
            {field.functions && (
              <Functions kind={field.functions} text={text} onEdit={onEdit} onLeave={onLeave} single />
            )}
          </>
        );
      }}
    </Labelled>
  );
}

interface FunctionsProps {
  kind: string;
  text: string;
  onEdit: (value: Value) => void;
  onLeave: () => void;
  /** Whether the option names one, so that a press takes the place of what was there. */
  single?: boolean;
}

/** What of the notebook, and of what is built in, can be named: a press adds a line, another takes it away. */
function Functions({ kind, text, onEdit, onLeave, single = false }: FunctionsProps) {
  const choices = useTraitValue<Choices>("choices");
  const lines = linesOf(text);
  const named = choices.functions?.[kind] ?? [];
  return (
    <fieldset class="train-functions">
      <legend class="snb-hidden">What can be named</legend>
      {named.map(({ name, group }) => (
        <button
          key={name}
          type="button"
          class="train-function"
          title={group}
          aria-pressed={lines.includes(name)}
          onClick={() => {
            onEdit(single ? (lines.includes(name) ? "" : name) : toggled(lines, name).join("\n"));
            onLeave();
          }}
        >
          {name}
          {group === "Notebook" && <span class="snb-muted"> in this notebook</span>}
        </button>
      ))}
    </fieldset>
  );
}
