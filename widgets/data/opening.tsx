/** Where rows come from: what the notebook has, a path, a folder, a file of this computer, the hub. */
import { useState } from "preact/hooks";
import { Button, Field, Fold, Progress, Segmented } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { count } from "../lib/format";
import { type Choice, GroupedOptions } from "../lib/grouped";
import { useCommand, useTraitValue } from "../lib/model";
import { TextField } from "../lib/text-field";
import { HubPart } from "./hub";
import type { Listing, Source } from "./types";
import { bytes, useUpload } from "./upload";

const WAYS = [
  ["here", "In the notebook"],
  ["folder", "A file here"],
  ["upload", "A file of my computer"],
  ["hub", "From the hub"],
] as const;

type Way = (typeof WAYS)[number][0];

export function Opening({ open }: { open: boolean }) {
  const source = useTraitValue<Source>("source");
  const [way, setWay] = useState<Way>("here");
  return (
    <Fold summary={open ? "Open data" : "Open other data"} open={open}>
      <div class="snb-stack">
        <div class="snb-row">
          <Segmented label="Where the rows are" value={way} options={WAYS} onChange={setWay} />
        </div>
        {way === "here" && <Here />}
        {way === "folder" && <Folder />}
        {way === "upload" && <Sending />}
        {way === "hub" && <HubPart />}
        {source.stage === "failed" && source.error && <ErrorCard error={source.error} />}
      </div>
    </Fold>
  );
}

function Here() {
  const choices = useTraitValue<Choice[]>("choices");
  const source = useTraitValue<Source>("source");
  const [send] = useCommand();
  return (
    <Field label="Data set" help="Variables, recordings, runs, and what ShadowNB ships.">
      {(ids) => (
        <select
          {...ids}
          class="snb-select"
          value={source.choice ?? ""}
          onChange={(event) => event.currentTarget.value && send("open", { choice: event.currentTarget.value })}
        >
          <option value="">Choose data…</option>
          <GroupedOptions options={choices} />
        </select>
      )}
    </Field>
  );
}

function Folder() {
  const listing = useTraitValue<Listing | Record<string, never>>("listing");
  const [send, waiting] = useCommand();
  const [path, setPath] = useState("");
  const at = "folder" in listing ? (listing as Listing) : null;
  return (
    <div class="snb-stack">
      <form
        class="data-line"
        onSubmit={(event) => {
          event.preventDefault();
          if (path.trim()) send("open", { choice: `file:${path.trim()}` });
        }}
      >
        <TextField
          label="Path of a file"
          help="From the notebook's folder, or from the root: .jsonl, .json, .csv, .parquet."
          value={path}
          onValue={setPath}
        >
          <Button type="submit" disabled={path.trim() === ""}>
            Open
          </Button>
          <Button disabled={waiting === "browse"} onClick={() => send("browse", { folder: at?.folder ?? "" })}>
            Browse
          </Button>
        </TextField>
      </form>
      {at && (
        <section class="snb-stack" aria-label="Folder">
          <div class="snb-row">
            <code>{at.folder}</code>
            <Button small disabled={at.parent === ""} onClick={() => send("browse", { folder: at.parent })}>
              Up
            </Button>
            {at.folder !== at.home && (
              <Button small onClick={() => send("browse", { folder: "" })}>
                Notebook's folder
              </Button>
            )}
          </div>
          <ul class="data-files">
            {at.entries.map((entry) => (
              <li key={entry.path}>
                <Button
                  kind="quiet"
                  small
                  onClick={() =>
                    entry.folder
                      ? send("browse", { folder: entry.path })
                      : send("open", { choice: `file:${entry.path}` })
                  }
                >
                  {entry.folder ? `${entry.name}/` : entry.name}
                </Button>
                {!entry.folder && <span class="snb-muted">{bytes(entry.size)}</span>}
              </li>
            ))}
          </ul>
          <p class="snb-muted">
            {at.entries.length === 0 && "No folder and no data file. "}
            {at.more > 0 && `${count(at.more)} more are not shown: type the path. `}
            {at.others > 0 && `${count(at.others)} other files are not ${at.kinds.join(", ")}.`}
          </p>
        </section>
      )}
    </div>
  );
}

function Sending() {
  const [state, sendFile] = useUpload();
  return (
    <div class="snb-stack">
      <Field
        label="File to send"
        help={`At most ${bytes(state.largest)}: ${state.kinds.join(", ")}. It is put into the notebook's folder, over no other file.`}
      >
        {(ids) => (
          <input
            {...ids}
            type="file"
            class="snb-input"
            accept={state.kinds.join(",")}
            disabled={state.id !== ""}
            onChange={(event) => {
              const file = event.currentTarget.files?.[0];
              if (file) sendFile(file);
              event.currentTarget.value = "";
            }}
          />
        )}
      </Field>
      {state.id !== "" && (
        <div class="snb-row">
          <Progress label={`Sending ${state.name}`} value={state.size === 0 ? null : state.done / state.size} />
          <span class="snb-muted">
            {state.name}: {bytes(state.done)} of {bytes(state.size)}
          </span>
        </div>
      )}
      {state.error && <ErrorCard error={state.error} />}
    </div>
  );
}
