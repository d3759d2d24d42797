/** A new fact, or another answer for one that is there. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";
import { useCommand } from "../lib/model";
import type { FactRow, State } from "./types";

interface Props {
  edited: FactRow | null;
  stage: State["stage"];
  done: () => void;
}

export function FactForm({ edited, stage, done }: Props) {
  const working = stage === "working";
  const [question, setQuestion] = useState(edited?.question ?? "");
  const [answer, setAnswer] = useState(edited?.answer ?? "");
  const [source, setSource] = useState(edited?.source ?? "");
  const [send, waiting] = useCommand();
  const blocked = working || waiting !== null || question.trim() === "" || answer.trim() === "";
  const sent = useRef(false);
  const learn = () => {
    if (blocked) return;
    sent.current = true;
    if (edited) send("update", { which: edited.question, answer, source });
    else send("add", { question, answer, source });
  };
  // What was typed stays until it is learned, so that whoever made a mistake can mend it.
  useEffect(() => {
    if (working || !sent.current) return;
    sent.current = false;
    if (stage !== "ready") return;
    done();
    setQuestion("");
    setAnswer("");
    setSource("");
  }, [stage]);
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
