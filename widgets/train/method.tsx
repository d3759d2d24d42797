/** The third part of the form: the methods in groups, each with its hint, and the reason where one can't be used. */

import { useCommand, useTraitValue } from "../lib/model";
import { useId } from "../lib/use-id";
import { FormPart } from "./picker";
import type { Method } from "./types";

export function MethodPart() {
  const methods = useTraitValue<Method[]>("methods");
  const chosen = useTraitValue<string>("method");
  const [send] = useCommand();
  const name = useId();
  const groups = [...new Set(methods.map((method) => method.group))];
  return (
    <FormPart name="method" title="Method">
      {groups.map((group) => (
        <fieldset key={group} class="train-methods">
          <legend class="train-label">{group}</legend>
          {methods
            .filter((method) => method.group === group)
            .map((method) => (
              <MethodCard
                key={method.name}
                method={method}
                name={name}
                chosen={method.name === chosen}
                onChoose={() => send("choose_method", { name: method.name })}
              />
            ))}
        </fieldset>
      ))}
    </FormPart>
  );
}

interface CardProps {
  method: Method;
  name: string;
  chosen: boolean;
  onChoose: () => void;
}

function MethodCard({ method, name, chosen, onChoose }: CardProps) {
  const id = useId();
  const blocked = method.blocked !== null;
  return (
    <label class={`train-method${chosen ? " is-on" : ""}${blocked ? " is-off" : ""}`}>
      <input
        type="radio"
        name={name}
        value={method.name}
        checked={chosen}
        disabled={blocked && !chosen}
        aria-labelledby={`${id}-title`}
        aria-describedby={id}
        onChange={onChoose}
      />
      <span class="train-methodtext">
        <b id={`${id}-title`}>{method.title}</b>
        <span id={id} class="train-methodhint">
          <span>{method.hint}</span>
          <span class="snb-muted">
            Needs {method.data}.{method.share ? ` Trains ${method.share} of the weights.` : ""}
          </span>
          {blocked && <span class="train-blocked">Not here: {method.blocked}.</span>}
        </span>
      </span>
    </label>
  );
}
