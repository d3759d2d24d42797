/** The form of a new sweep: which options, which values, how many trials, by which number. */
import { useState } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { Button, Field, Fold } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import type { Base, Offered } from "./types";

type Axis = [name: string, values: string];

const SAMPLERS = [
  ["auto", "as fits the space"],
  ["grid", "all, in order"],
  ["tpe", "by what earlier trials came to"],
  ["random", "at random"],
] as const;
const PRUNERS = [
  ["auto", "as possible"],
  ["median", "worse than half of the earlier"],
  ["halving", "successive halving"],
  ["none", "none"],
] as const;

export function NewSweep({ open }: { open: boolean }) {
  const base = useTraitValue<Base>("base");
  const offered = useTraitValue<Offered[]>("offered");
  const [send, waiting] = useCommand();
  const [axes, setAxes] = useState<Axis[]>([["learning_rate", "1e-5..1e-3 log"]]);
  const [budget, setBudget] = useState("8");
  const [metric, setMetric] = useState("eval_loss");
  const [sampler, setSampler] = useState("auto");
  const [pruner, setPruner] = useState("auto");
  const [name, setName] = useState("");
  const asked = { space: axes, budget, metric, sampler, pruner, name };
  const change = (at: number, axis: Axis) => setAxes(axes.with(at, axis));
  const missing = base.missing ?? "";
  return (
    <Fold summary="New sweep" open={open}>
      <form
        class="snb-stack"
        aria-label="New sweep"
        onSubmit={(event) => {
          event.preventDefault();
          send("start", asked);
        }}
      >
        <p>{missing || `Trials train ${base.words}. Options that are not tried are the same for all.`}</p>
        {axes.map(([option, values], at) => (
          <AxisRow
            key={at}
            option={option}
            values={values}
            offered={offered}
            taken={axes.map(([each]) => each)}
            onChange={(axis) => change(at, axis)}
            onRemove={axes.length > 1 ? () => setAxes(axes.filter((_, each) => each !== at)) : null}
          />
        ))}
        <div class="snb-row">
          <Button
            small
            onClick={() => {
              const next = offered.find((each) => !axes.some(([taken]) => taken === each.name));
              if (next) setAxes([...axes, [next.name, next.choices]]);
            }}
          >
            Try another option, too
          </Button>
        </div>
        <div class="sweep-two">
          <Text
            label="Trials, or time of training"
            value={budget}
            onInput={setBudget}
            hint="Such as 20, or 90 min; empty tries all."
          />
          <Text label="Compared by" value={metric} onInput={setMetric} hint="eval_loss, loss, eval_loss.min, ..." />
          <Choice label="Chosen" value={sampler} options={SAMPLERS} onChange={setSampler} />
          <Choice label="Given up early" value={pruner} options={PRUNERS} onChange={setPruner} />
          <Text label="Name" value={name} onInput={setName} hint="Empty for one that is made." />
        </div>
        <div class="snb-row">
          <Button type="submit" kind="primary" disabled={missing !== "" || waiting === "start"}>
            {missing || "Start the sweep"}
          </Button>
          <Button disabled={waiting === "code"} onClick={() => send("code", asked)}>
            Write as code
          </Button>
        </div>
        <AsCode title="starts the same sweep" missing="Press Write as code." />
      </form>
    </Fold>
  );
}

interface AxisRowProps {
  option: string;
  values: string;
  offered: Offered[];
  taken: string[];
  onChange: (axis: Axis) => void;
  onRemove: (() => void) | null;
}

function AxisRow({ option, values, offered, taken, onChange, onRemove }: AxisRowProps) {
  const known = offered.find(({ name }) => name === option);
  return (
    <div class="sweep-axis">
      <Field label="Option">
        {(ids) => (
          <select
            {...ids}
            class="snb-select"
            value={option}
            onChange={(event) => {
              const chosen = offered.find(({ name }) => name === event.currentTarget.value);
              onChange([event.currentTarget.value, chosen?.choices ?? ""]);
            }}
          >
            {offered.map(({ name, title }) => (
              <option key={name} value={name} disabled={name !== option && taken.includes(name)}>
                {title}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Text
        label={`Values of ${known?.title ?? option}`}
        value={values}
        onInput={(text) => onChange([option, text])}
        hint="4, 8, 16 or 1e-5..1e-3 log"
      />
      {onRemove && (
        <Button small aria-label={`Do not try ${known?.title ?? option}`} onClick={onRemove}>
          Remove
        </Button>
      )}
    </div>
  );
}

interface TextProps {
  label: string;
  value: string;
  hint: string;
  onInput: (text: string) => void;
}

function Text({ label, value, hint, onInput }: TextProps) {
  return (
    <Field label={label}>
      {(ids) => (
        <input
          {...ids}
          class="snb-input"
          value={value}
          placeholder={hint}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: readonly (readonly [value: string, text: string])[];
  onChange: (value: string) => void;
}

function Choice({ label, value, options, onChange }: ChoiceProps) {
  return (
    <Field label={label}>
      {(ids) => (
        <select {...ids} class="snb-select" value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          {options.map(([each, text]) => (
            <option key={each} value={each}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
