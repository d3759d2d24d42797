/** A new fact, or another answer for one that is there. */
import { useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";
import { useCommand } from "../lib/model";
import type { FactRow } from "./types";

export function FactForm({ edited, working, done }: { edited: FactRow | null; working: boolean; done: () => void }) {
  const [question, setQuestion] = useState(edited?.question ?? "");
  const [answer, setAnswer] = useState(edited?.answer ?? "");
  const [source, setSource] = useState(edited?.source ?? "");
  const [send, waiting] = useCommand();
  const blocked = working || waiting !== null || question.trim() === "" || answer.trim() === "";
  const learn = () => {
    if (blocked) return;
    if (edited) {
      send("update", { which: edited.question, answer, source });
      done();
    } else {
      send("add", { question, answer, source });
      setQuestion("");
      setAnswer("");
      setSource("");
    }
  };
  const text = (label: string, value: string, set: (value: string) => void, help: string, fixed = false) => (
    <Field label={label} help={help}>
      {(ids) => (
        <input
          {...ids}
          type="text"
          class="snb-input"
          value={value}
          readOnly={fixed}
          onInput={(event) => set(event.currentTarget.value)}
        />
      )}
    </Field>
  );
  return (
    <form
      class="facts-form"
      aria-label={edited ? "Change a fact" : "Add a fact"}
      onSubmit={(event) => {
        event.preventDefault();
        learn();
      }}
    >
      <h3>{edited ? "Another answer" : "Add a fact"}</h3>
      <div class="facts-fields">
        {text(
          "Question",
          question,
          setQuestion,
          edited ? "It alone is learned anew." : "Name in it what it is about.",
          edited !== null,
        )}
        {text("Answer", answer, setAnswer, "What is to be said, word for word.")}
        {text("Source", source, setSource, "Comes with the answers; may be empty.")}
      </div>
      <div class="snb-row">
        <Button kind="primary" type="submit" disabled={blocked}>
          {edited ? "Learn the new answer" : "Learn it"}
        </Button>
        {edited && <Button onClick={done}>Keep the old one</Button>}
      </div>
    </form>
  );
}
