/** What to export, as what, where to, and what it is measured on. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";
import { counted, gigabytes } from "../lib/format";
import { type Choice, GroupedOptions } from "../lib/grouped";
import { useCommand, useTraitValue } from "../lib/model";
import { OTHER, SourceField } from "../lib/source-field";
import { TextField } from "../lib/text-field";
import { Formats } from "./formats";
import type { Format, State, Wanted } from "./types";

const NOTHING = "none";
const FIRST = "gguf quant=q4_k_m";

export function Source({ working }: { working: boolean }) {
  const sources = useTraitValue<Choice[]>("sources");
  const source = useTraitValue<string>("source");
  const [other, setOther] = useState(false);
  const [path, setPath] = useState("");
  const [send, waiting] = useCommand();
  const known = !other && sources.some(({ id }) => id === source);
  const blocked = working || waiting !== null;
  return (
    <div class="snb-row export-source">
      <SourceField
        options={sources}
        help="The result of a run is loaded first."
        other="A folder, a run or a name…"
        disabled={blocked}
        value={known ? source : OTHER}
        onValue={(value) => {
          setOther(value === OTHER);
          if (value !== OTHER) send("choose", { source: value });
        }}
      />
      {!known && (
        <TextField
          label="Folder, run or name"
          help="For example run-0123, smollm2-135m."
          value={path}
          onValue={setPath}
        >
          <Button
            disabled={blocked || path.trim() === ""}
            onClick={() => {
              setOther(false);
              send("choose", { source: path.trim() });
            }}
          >
            Load
          </Button>
        </TextField>
      )}
      <Button kind="quiet" disabled={blocked} onClick={() => send("look")}>
        Look again
      </Button>
    </div>
  );
}

export function ExportForm({ working }: { working: boolean }) {
  const formats = useTraitValue<Format[]>("formats");
  const suggested = useTraitValue<string>("suggested");
  const heldOut = useTraitValue<number>("held_out");
  const data = useTraitValue<Choice[]>("data");
  const scorers = useTraitValue<Choice[]>("scorers");
  const [wanted, want] = useState(FIRST);
  const [compared, compare] = useState<string[]>([]);
  const [all, showAll] = useState(false);
  const [folder, setFolder] = useState<string | null>(null);
  const [rows, setRows] = useState("");
  const [scorer, setScorer] = useState("");
  const [send, waiting] = useCommand();
  const asked = useTraitValue<Wanted | undefined>("wanted");
  const state = useTraitValue<State>("state");
  const applied = useRef<number | undefined>(undefined);
  useEffect(() => {
    // Once, when the formats are those of the model that was filled in: later choices are the user's.
    if (asked?.count === undefined || applied.current === asked.count || state.stage === "working") return;
    applied.current = asked.count;
    const first = formats.find(({ format, refused }) => refused === null && asked.formats?.includes(format));
    want(first?.id ?? FIRST);
    compare([]);
    setFolder(null);
    setScorer("");
    setRows(asked.measure === false ? NOTHING : "");
  }, [asked?.count, state.stage, formats]);
  const able = formats.filter(({ refused }) => refused === null);
  const chosen = able.find(({ id }) => id === wanted) ?? able[0];
  const others = able.filter(({ id }) => id !== chosen?.id && compared.includes(id));
  const target = folder ?? `${suggested}-${(chosen?.name ?? "").replaceAll(" ", "-")}`;
  const measured = rows !== NOTHING && (rows !== "" || heldOut > 0);
  const problem = others.length > 0 && !measured ? "Comparing needs rows: choose some." : "";
  const blocked = working || waiting !== null || chosen === undefined || target.trim() === "" || problem !== "";
  return (
    <form
      class="export-form"
      aria-label="Export"
      onSubmit={(event) => {
        event.preventDefault();
        if (blocked || chosen === undefined) return;
        const compare = others.map(({ id }) => id);
        send("start", { format: chosen.id, folder: target, compare, data: rows, scorer: measured ? scorer : "" });
      }}
    >
      <Formats
        formats={formats}
        chosen={chosen?.id ?? ""}
        compared={others.map(({ id }) => id)}
        choose={want}
        compare={compare}
        all={all}
        showAll={showAll}
      />
      <div class="export-fields">
        <TextField
          label="Folder"
          help="An earlier export there is replaced as a whole."
          value={target}
          onValue={setFolder}
        />
        <Field label="Measure on" help="Best on rows that it was not trained on." error={problem}>
          {(ids) => (
            <select {...ids} class="snb-select" value={rows} onChange={(event) => setRows(event.currentTarget.value)}>
              <option value="">
                {heldOut > 0 ? `${counted(heldOut, "row")} that the run held out` : "Nothing: no rows were held out"}
              </option>
              {(heldOut > 0 || rows === NOTHING) && <option value={NOTHING}>Nothing</option>}
              <GroupedOptions options={data} />
            </select>
          )}
        </Field>
        <Field label="Score answers with" help="The task's own score, with an interval; takes longer.">
          {(ids) => (
            <select
              {...ids}
              class="snb-select"
              disabled={!measured}
              value={scorer}
              onChange={(event) => setScorer(event.currentTarget.value)}
            >
              <option value="">Nothing</option>
              <GroupedOptions options={scorers} />
            </select>
          )}
        </Field>
      </div>
      <Room chosen={chosen === undefined ? others : [chosen, ...others]} />
      <div class="snb-row">
        <Button kind="primary" type="submit" disabled={blocked}>
          {asked?.what === "save" ? "Save" : "Export"}
        </Button>
        {asked?.what === "push" && <span class="snb-muted">What is written can be pushed to the hub then.</span>}
        {others.length > 0 && (
          <span class="snb-muted">{others.map(({ name }) => name).join(", ")}: written, measured and thrown away.</span>
        )}
      </div>
    </form>
  );
}

/** Whether the disk has room for the files, and for the merge that they are made of. */
function Room({ chosen }: { chosen: Format[] }) {
  const merge = useTraitValue<number>("merge_bytes");
  const free = useTraitValue<number>("free_bytes");
  const needed = chosen.reduce((sum, { size }) => sum + (size ?? 0), merge);
  const said = `Takes up to ${gigabytes(needed / 1e9)} of the disk meanwhile; ${gigabytes(free / 1e9)} are free.`;
  return needed > free ? (
    <p class="snb-field-error" role="alert">
      {said} Free some, or choose a folder on another disk.
    </p>
  ) : (
    <p class="snb-muted">{said}</p>
  );
}
