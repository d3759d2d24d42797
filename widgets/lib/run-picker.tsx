/** Another run in the place of the one that is shown. */
import { useCommand, useTraitValue } from "./model";

interface Pick {
  id: string;
  title: string;
}

/** `shown` is empty where none is; `none` is what stands there then. */
export function RunPicker({ shown, none = "Choose a run" }: { shown: string; none?: string }) {
  const runs = useTraitValue<Pick[] | undefined>("runs") ?? [];
  const [send, waiting] = useCommand();
  // Before it is opened, by pointer or keyboard; reading what runs there are is for nobody who only watches.
  const look = () => send("look_for_runs");
  const options = runs.some(({ id }) => id === shown) ? runs : [{ id: shown, title: shown || none }, ...runs];
  return (
    <select
      class="snb-select snb-runpicker"
      aria-label="Run"
      value={shown}
      disabled={waiting === "show"}
      onFocus={look}
      onPointerEnter={look}
      onChange={(event) => send("show", { run: event.currentTarget.value })}
    >
      {options.map(({ id, title }) => (
        <option key={id} value={id}>
          {title}
        </option>
      ))}
    </select>
  );
}
