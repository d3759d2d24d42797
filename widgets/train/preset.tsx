/** A task to begin with: it fills method and options, and says why each value is what it is. */
import { Field, Fold } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import type { Field as Option, Values } from "./form";
import type { Form } from "./options";

interface Task {
  name: string;
  title: string;
  rows: string;
}

interface Chosen extends Task {
  reasons: [option: string, value: string, why: string][];
  scorer: [name: string, why: string] | ["", ""];
}

export function PresetPart() {
  const presets = useTraitValue<Task[] | undefined>("presets") ?? [];
  const chosen = useTraitValue<Chosen | Record<string, never> | undefined>("preset") ?? {};
  const [send, waiting] = useCommand();
  if (presets.length === 0) {
    return null;
  }
  const name = "name" in chosen ? chosen.name : "";
  return (
    <section class="train-preset train-wide" aria-label="Task">
      <Field label="Begin with a task" help="Fills method and options, each with its reason. All can be changed.">
        {(ids) => (
          <select
            {...ids}
            class="snb-select"
            value={name}
            disabled={waiting === "preset"}
            onChange={(event) => send("preset", { name: event.currentTarget.value })}
          >
            <option value="">None: the method's defaults</option>
            {presets.map((each) => (
              <option key={each.name} value={each.name}>
                {each.title}
              </option>
            ))}
          </select>
        )}
      </Field>
      {"name" in chosen && <Why task={chosen as Chosen} />}
    </section>
  );
}

function Why({ task }: { task: Chosen }) {
  const fields = useTraitValue<Option[]>("fields");
  const method = useTraitValue<string>("method");
  const form = useTraitValue<Form>("form");
  const title = (option: string) => fields.find(({ name }) => name === option)?.title ?? "Method";
  return (
    <Fold summary={`Why these values for ${task.title.toLowerCase()}`} open>
      <p>
        <b>Rows</b> {task.rows}
      </p>
      <dl class="train-why">
        {task.reasons.map(([option, value, why]) => {
          const now = option === "method" ? method : held(form.values ?? {}, option);
          return (
            <div key={option}>
              <dt>{title(option)}</dt>
              <dd>
                <b>{now}</b> <span class="snb-muted">{value === now ? why : `changed from ${value}`}</span>
              </dd>
            </div>
          );
        })}
        {task.scorer[0] && (
          <div>
            <dt>Score answers with</dt>
            <dd>
              <b>{task.scorer[0]}</b> <span class="snb-muted">{task.scorer[1]}</span>
            </dd>
          </div>
        )}
      </dl>
    </Fold>
  );
}

const held = (values: Values, option: string): string => {
  const value = values[option];
  if (typeof value === "boolean") return value ? "on" : "off";
  return value === undefined || value === null || value === "" ? "the default" : value.replaceAll("\n", ", ");
};
