/** Data sets of the Hugging Face hub: search, splits and first rows, then all rows or the first of them. */
import { useState } from "preact/hooks";
import { Button, Chip, Field } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { count, counted } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { RowParts } from "../lib/row-parts";
import { TextField } from "../lib/text-field";
import type { Hub, Preview } from "./types";

export function HubPart() {
  const hub = useTraitValue<Hub>("hub");
  const [send] = useCommand();
  const [query, setQuery] = useState("");
  return (
    <div class="snb-stack">
      <form
        class="data-line"
        onSubmit={(event) => {
          event.preventDefault();
          if (query.trim()) send("search_hub", { query: query.trim() });
        }}
      >
        <TextField
          label="Search the hub"
          help="By words of a data set's name; the most downloaded come first."
          value={query}
          onValue={setQuery}
        >
          <Button type="submit" disabled={query.trim() === "" || hub.stage === "loading"}>
            {hub.stage === "loading" ? "Looking" : "Search"}
          </Button>
        </TextField>
      </form>
      {hub.error && <ErrorCard error={hub.error} />}
      {hub.stage === "ready" && hub.found?.length === 0 && <p class="snb-muted">The hub has none by that name.</p>}
      {(hub.found ?? []).length > 0 && (
        <ul class="data-found" aria-label="Found on the hub">
          {hub.found?.map((each) => (
            <li key={each.repo}>
              <Button kind="quiet" small onClick={() => send("preview_hub", { repo: each.repo })}>
                {each.repo}
              </Button>
              {each.gated && <Chip tone="warn">terms to accept</Chip>}
              <span class="snb-muted">
                {counted(each.downloads, "download")} {each.about}
              </span>
            </li>
          ))}
        </ul>
      )}
      {hub.preview && <Look key={hub.preview.repo} preview={hub.preview} />}
    </div>
  );
}

function Look({ preview }: { preview: Preview }) {
  const [send] = useCommand();
  const [limit, setLimit] = useState("1000");
  const { repo, subset, split } = preview;
  const choose = (more: object) => send("preview_hub", { repo, subset, split, ...more });
  return (
    <section class="snb-stack" aria-label={`Preview of ${repo}`}>
      <h3>{repo}</h3>
      <div class="data-two">
        <Pick label="Subset" value={subset} options={preview.subsets} onPick={(name) => choose({ subset: name })} />
        <Pick label="Split" value={split} options={preview.splits} onPick={(name) => choose({ split: name })} />
        <TextField label="First rows" help="Nothing for all of them." digits value={limit} onValue={setLimit}>
          <Button kind="primary" onClick={() => send("open_hub", { repo, subset, split, limit })}>
            Open
          </Button>
        </TextField>
      </div>
      <ol class="snb-rows" aria-label={`First ${count(preview.rows.length)} rows`}>
        {preview.rows.map((parts, at) => (
          <li key={at}>
            <RowParts parts={parts} />
          </li>
        ))}
      </ol>
    </section>
  );
}

interface PickProps {
  label: string;
  value: string;
  options: string[];
  onPick: (name: string) => void;
}

function Pick({ label, value, options, onPick }: PickProps) {
  return (
    <Field label={label}>
      {(ids) => (
        <select {...ids} class="snb-select" value={value} onChange={(event) => onPick(event.currentTarget.value)}>
          {options.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
