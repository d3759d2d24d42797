/** What people think of the open episode: good or bad, and a note; kept with its calls. */
import { useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";
import { number } from "../lib/format";
import { useCommand } from "../lib/model";
import type { Note } from "./types";

export function Judgement({ score, notes }: { score: number | null; notes: Note[] }) {
  const [send, waiting] = useCommand();
  const [note, setNote] = useState("");
  const judge = (value: number | null) => {
    send("score", { value, note });
    setNote("");
  };
  return (
    <section class="snb-stack" aria-label="Judgement">
      <div class="snb-row trajectories-judgement">
        <Button small disabled={waiting !== null} aria-pressed={score === 1} onClick={() => judge(1)}>
          Good
        </Button>
        <Button small disabled={waiting !== null} aria-pressed={score === 0} onClick={() => judge(0)}>
          Bad
        </Button>
        <Field label="Note">
          {(ids) => (
            <input
              {...ids}
              class="snb-input"
              placeholder="what is good or bad about it"
              value={note}
              onInput={(event) => setNote(event.currentTarget.value)}
            />
          )}
        </Field>
        <Button small disabled={waiting !== null || note.trim() === ""} onClick={() => judge(null)}>
          Keep the note
        </Button>
      </div>
      {notes.length > 0 && (
        <ul class="snb-muted">
          {notes.map((each) => (
            <li key={`${each.at} ${each.name}`}>
              {each.value === null ? "" : `${each.name} ${number(each.value)} `}
              {each.note}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
