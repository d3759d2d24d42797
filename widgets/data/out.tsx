/** What becomes of the rows: trained on, saved to a file, held by a variable. */
import { useState } from "preact/hooks";
import { Button, Fold, Toggle } from "../lib/controls";
import { count } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { TextField } from "../lib/text-field";
import type { PartOf } from "./types";

export function Out() {
  const trainable = useTraitValue<boolean>("trainable");
  const parts = useTraitValue<PartOf[]>("parts");
  const busy = useTraitValue<string>("working") !== "";
  const [send, waiting] = useCommand();
  const usable = parts[0]?.valid ?? 0;
  return (
    <section class="snb-stack" aria-label="What becomes of the rows">
      {trainable && (
        <div class="snb-row">
          <Button kind="primary" disabled={busy || waiting === "use" || usable === 0} onClick={() => send("use")}>
            {usable === 0 ? "No row can be used" : "Train on these"}
          </Button>
          <span class="snb-muted">
            {count(usable)} rows{parts[1] ? `, evaluated on ${count(parts[1].valid)}` : ""}
          </span>
        </div>
      )}
      <Keeping split={parts.length > 1} />
    </section>
  );
}

function Keeping({ split }: { split: boolean }) {
  const [send] = useCommand();
  const [path, setPath] = useState("");
  const [name, setName] = useState("");
  const [replace, setReplace] = useState(false);
  return (
    <Fold summary="Save, or name in the notebook">
      <div class="snb-stack">
        <form
          class="data-line"
          onSubmit={(event) => {
            event.preventDefault();
            send("save", { path, replace });
          }}
        >
          <TextField
            label="File to write"
            help={
              split
                ? "Two files: rows.jsonl makes rows.train.jsonl and rows.held_out.jsonl."
                : "Such as rows.jsonl, .json, .csv, .parquet."
            }
            value={path}
            onValue={setPath}
          >
            <Button type="submit" disabled={path.trim() === ""}>
              Save
            </Button>
          </TextField>
        </form>
        <form
          class="data-line"
          onSubmit={(event) => {
            event.preventDefault();
            send("name", { name: name.trim(), replace });
          }}
        >
          <TextField
            label="Variable of the notebook"
            help={split ? "A second one, with _held_out behind its name, holds the held-out rows." : undefined}
            value={name}
            onValue={setName}
          >
            <Button type="submit" disabled={name.trim() === ""}>
              Name it
            </Button>
          </TextField>
        </form>
        <Toggle label="Replace what is there under that name" checked={replace} onChange={setReplace} />
      </div>
    </Fold>
  );
}
