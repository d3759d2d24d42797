/** What people think of the open episode: good or bad, a note, a better answer; kept with its calls, and taken back. */
import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";
import { number } from "../lib/format";
import { KEY_OF, useOnce } from "../lib/keys";
import { useCommand, useTraitValue } from "../lib/model";
import type { Clicks, Conversation } from "./types";

interface JudgementProps {
  conversation: Conversation;
  /** Takes the focus when somebody wants to write a better answer. */
  editor: RefObject<HTMLTextAreaElement | null>;
}

export function Judgement({ conversation, editor }: JudgementProps) {
  const { notes, facts } = conversation;
  const clicks = useTraitValue<Clicks>("clicks");
  const [send, waiting] = useCommand();
  const [note, setNote] = useState("");
  const once = useOnce(waiting !== null);
  const judge = (value: number | null) =>
    once(`${conversation.id} ${value}`, () => {
      send("score", { value, note, episode: conversation.id });
      setNote("");
    });
  return (
    <section class="snb-stack" aria-label="Judgement">
      <div class="snb-row trajectories-judgement">
        <Button small aria-pressed={facts.score === 1} {...KEY_OF("g")} onClick={judge(1)}>
          Good <kbd>g</kbd>
        </Button>
        <Button small aria-pressed={facts.score === 0} {...KEY_OF("b")} onClick={judge(0)}>
          Bad <kbd>b</kbd>
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
        <Button small disabled={note.trim() === ""} onClick={judge(null)}>
          Keep the note
        </Button>
        <Button kind="quiet" small disabled={!clicks.undo} {...KEY_OF("u")} onClick={() => send("undo")}>
          Undo <kbd>u</kbd>
        </Button>
      </div>
      <Correction key={conversation.id} conversation={conversation} editor={editor} />
      {notes.length > 0 && (
        <ul class="snb-muted">
          {notes.map((each) => (
            <li key={`${each.at} ${each.name}`}>
              {each.value === null
                ? each.name === "correction"
                  ? "corrected: "
                  : ""
                : `${each.name} ${number(each.value)} `}
              {each.note}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** The answer that should have been given last, begun with the one that was. */
function Correction({ conversation, editor }: JudgementProps) {
  const { id, answer, correction } = conversation;
  const [draft, setDraft] = useState(correction || answer);
  const [send, waiting] = useCommand();
  useEffect(() => setDraft(correction || answer), [correction, answer]);
  const unchanged = draft.trim() === "" || draft === (correction || answer);
  return (
    <div class="snb-row trajectories-judgement">
      <Field
        label={
          <>
            {correction === "" ? "A better last answer" : "Last answer, corrected"} <kbd>e</kbd>
          </>
        }
      >
        {(ids) => (
          <textarea
            {...ids}
            ref={editor}
            class="snb-input trajectories-correction"
            rows={2}
            value={draft}
            onInput={(event) => setDraft(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !unchanged) {
                send("correct", { answer: draft, episode: id });
              }
            }}
          />
        )}
      </Field>
      <Button
        small
        disabled={waiting !== null || unchanged}
        onClick={() => send("correct", { answer: draft, episode: id })}
      >
        Keep the answer
      </Button>
    </div>
  );
}
