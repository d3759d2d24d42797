/** One row to change: its texts each in a field, or all of it as JSON. */
import { useState } from "preact/hooks";
import { Button, Field, Segmented } from "../lib/controls";
import { useCommand } from "../lib/model";
import { Opened } from "../lib/opened";
import type { Edited } from "./types";

const FORMS = [
  ["texts", "Texts"],
  ["json", "All of it, as JSON"],
] as const;

export function RowEditor({ row, busy }: { row: Edited; busy: boolean }) {
  const [send, waiting] = useCommand();
  const [form, setForm] = useState<"texts" | "json">(row.fields.length > 0 ? "texts" : "json");
  const [texts, setTexts] = useState(row.fields.map((field) => field.text));
  const [json, setJson] = useState(row.json);
  const save = () =>
    form === "json"
      ? send("save_row", { json })
      : send("save_row", { texts: row.fields.map((field, at) => [field.path, texts[at]]) });
  return (
    <Opened
      id={`${row.part} ${row.index}`}
      label="Row to edit"
      title={`Row ${row.number}`}
      onClose={() => send("shut_row")}
    >
      {row.fields.length > 0 && (
        <div class="snb-row">
          <Segmented label="How it is edited" value={form} options={FORMS} onChange={setForm} />
        </div>
      )}
      {form === "json" ? (
        <Area label="The row as JSON" text={json} onText={setJson} />
      ) : (
        row.fields.map((field, at) => (
          <Area
            key={field.path.join(" ")}
            label={field.label}
            text={texts[at] ?? ""}
            onText={(text) => setTexts(texts.with(at, text))}
          />
        ))
      )}
      <div class="snb-row">
        <Button kind="primary" disabled={busy || waiting !== null} onClick={save}>
          Change the row
        </Button>
        <span class="snb-muted">The file that it comes from stays as it is.</span>
      </div>
    </Opened>
  );
}

function Area({ label, text, onText }: { label: string; text: string; onText: (text: string) => void }) {
  return (
    <Field label={label}>
      {(ids) => (
        <textarea
          {...ids}
          class="snb-input"
          rows={Math.min(16, text.split("\n").length + 1)}
          value={text}
          onInput={(event) => onText(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}
