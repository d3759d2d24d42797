/** Which columns the table has: any option or metric that some run has. */
import { useState } from "preact/hooks";
import { Button, Fold } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import type { Asked, ColumnGroup } from "./types";

export function Columns() {
  const known = useTraitValue<ColumnGroup[]>("known");
  const asked = useTraitValue<Asked>("asked");
  const [filter, setFilter] = useState("");
  const [send] = useCommand();
  const wanted = filter.trim().toLowerCase();
  const like = (key: string, title: string) => `${key} ${title}`.toLowerCase().includes(wanted);
  const toggle = (key: string, on: boolean) =>
    send("ask", {
      first: asked.first,
      columns: on ? [...asked.columns, key] : asked.columns.filter((other) => other !== key),
    });
  return (
    <Fold summary="Columns">
      <div class="snb-stack">
        <div class="snb-row">
          <input
            class="snb-input"
            type="search"
            aria-label="Find a column"
            placeholder="Find an option or a metric"
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
          <span class="snb-muted">They stand in the order in which they were chosen.</span>
          <Button
            small
            onClick={() => send("ask", { first: asked.first, columns: [] })}
            disabled={asked.columns.length === 0}
          >
            Take all away
          </Button>
        </div>
        {known.map(({ title, columns }) => (
          <fieldset key={title} class="runs-columns">
            <legend>{title}</legend>
            {columns
              .filter((column) => like(column.key, column.title))
              .map(({ key, title: heading }) => (
                <label key={key}>
                  <input
                    type="checkbox"
                    checked={asked.columns.includes(key)}
                    onChange={(event) => toggle(key, event.currentTarget.checked)}
                  />
                  {heading}
                </label>
              ))}
          </fieldset>
        ))}
      </div>
    </Fold>
  );
}
