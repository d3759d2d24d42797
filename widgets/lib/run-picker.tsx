/** Another run in the place of the one that is shown. */
import { useEffect } from "preact/hooks";
import { useCommand, useTraitValue } from "./model";

interface Pick {
  id: string;
  title: string;
}

export function RunPicker({ shown }: { shown: string }) {
  const runs = useTraitValue<Pick[] | undefined>("runs") ?? [];
  const [send, waiting] = useCommand();
  useEffect(() => {
    send("look_for_runs");
  }, [send]);
  const options = runs.some(({ id }) => id === shown) ? runs : [{ id: shown, title: shown }, ...runs];
  return (
    <select
      class="snb-select snb-runpicker"
      aria-label="Run"
      value={shown}
      disabled={waiting === "show"}
      onFocus={() => send("look_for_runs")}
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
