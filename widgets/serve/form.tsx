/** What to serve, by which engine, under which name and port. */
import { useEffect, useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import { OTHER, SourceField } from "../lib/source-field";
import { TextField } from "../lib/text-field";
import type { Choice, Wanted } from "./types";

export function StartForm({ working }: { working: boolean }) {
  const models = useTraitValue<Choice[]>("models");
  const engines = useTraitValue<string[]>("engines");
  const [chosen, choose] = useState<string | null>(null);
  const [path, setPath] = useState("");
  const [engine, setEngine] = useState("auto");
  const [name, setName] = useState("");
  const [port, setPort] = useState("");
  const [send, waiting] = useCommand();
  const wanted = useTraitValue<Wanted | undefined>("wanted");
  useEffect(() => {
    if (wanted?.source === undefined) return;
    choose(wanted.listed ? wanted.source : OTHER);
    if (!wanted.listed) setPath(wanted.source);
  }, [wanted?.count]);
  const source = chosen ?? models[0]?.id ?? OTHER;
  const said = source === OTHER ? path.trim() : source;
  const badPort = port !== "" && !/^\d{1,5}$/.test(port);
  const blocked = working || waiting !== null || said === "" || badPort;
  return (
    <form
      class="serve-form"
      aria-label="Serve a model"
      onSubmit={(event) => {
        event.preventDefault();
        if (!blocked) send("start", { source: said, engine, name: name.trim(), port: Number(port || 0) });
      }}
    >
      <h3>Serve a model</h3>
      <div class="serve-fields">
        <SourceField
          options={models.map((each) => ({ ...each, group: "Loaded" }))}
          help="A loaded one answers with its weights as they are, also while it trains."
          other="A folder, run, GGUF file or address…"
          value={source}
          onValue={choose}
        />
        {source === OTHER && (
          <TextField
            label="Folder, run, file or address"
            help="For example run-0123, model.gguf, http://127.0.0.1:11434/v1."
            value={path}
            onValue={setPath}
          />
        )}
        <Field label="Engine" help="auto says afterwards what it chose, and why.">
          {(ids) => (
            <select
              {...ids}
              class="snb-select"
              value={engine}
              onChange={(event) => setEngine(event.currentTarget.value)}
            >
              {engines.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          )}
        </Field>
        <TextField
          label="Name"
          help="What requests call it; the model's own if empty."
          value={name}
          onValue={setName}
        />
        <TextField
          label="Port"
          help={badPort ? "A number up to 65535." : "A free one if empty."}
          digits
          value={port}
          onValue={setPort}
        />
      </div>
      <div class="snb-row">
        <Button kind="primary" type="submit" disabled={blocked}>
          Start
        </Button>
        <Button kind="quiet" disabled={working} onClick={() => send("look")}>
          Look again
        </Button>
      </div>
    </form>
  );
}
