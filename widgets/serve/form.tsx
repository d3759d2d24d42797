/** What to serve, by which engine, under which name and port. */
import { useEffect, useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import type { Choice, Wanted } from "./types";

const OTHER = "";

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
        <Field label="Model" help="A loaded one answers with its weights as they are, also while it trains.">
          {(ids) => (
            <select {...ids} class="snb-select" value={source} onChange={(event) => choose(event.currentTarget.value)}>
              {models.map((each) => (
                <option key={each.id} value={each.id}>
                  {each.title}
                </option>
              ))}
              <option value={OTHER}>A folder, run, GGUF file or address…</option>
            </select>
          )}
        </Field>
        {source === OTHER && (
          <Field
            label="Folder, run, file or address"
            help="For example run-0123, model.gguf, http://127.0.0.1:11434/v1."
          >
            {(ids) => (
              <input
                {...ids}
                type="text"
                class="snb-input"
                value={path}
                onInput={(event) => setPath(event.currentTarget.value)}
              />
            )}
          </Field>
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
        <Field label="Name" help="What requests call it; the model's own if empty.">
          {(ids) => (
            <input
              {...ids}
              type="text"
              class="snb-input"
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        <Field label="Port" help={badPort ? "A number up to 65535." : "A free one if empty."}>
          {(ids) => (
            <input
              {...ids}
              type="text"
              inputMode="numeric"
              class="snb-input"
              value={port}
              onInput={(event) => setPort(event.currentTarget.value)}
            />
          )}
        </Field>
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
