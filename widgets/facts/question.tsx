/** A question, which fact it goes to and why, and the answers with the memory and without. */
import { useState } from "preact/hooks";
import { Button, Chip, Field } from "../lib/controls";
import { number } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import type { Answered } from "./types";

export function Question({ working }: { working: boolean }) {
  const answer = useTraitValue<Answered | Record<string, never>>("answer");
  const [question, setQuestion] = useState("");
  const [send, waiting] = useCommand();
  const blocked = working || waiting !== null || question.trim() === "";
  const ask = () => {
    if (!blocked) send("ask", { question });
  };
  return (
    <section class="snb-stack" aria-label="Ask">
      <h3>Where does a question go?</h3>
      <form
        class="facts-ask"
        onSubmit={(event) => {
          event.preventDefault();
          ask();
        }}
      >
        <Field label="Question">
          {(ids) => (
            <input
              {...ids}
              type="text"
              class="snb-input"
              value={question}
              onInput={(event) => setQuestion(event.currentTarget.value)}
            />
          )}
        </Field>
        <Button type="submit" disabled={blocked}>
          Ask
        </Button>
      </form>
      {"question" in answer && <Route answer={answer as Answered} />}
    </section>
  );
}

function Route({ answer }: { answer: Answered }) {
  return (
    <>
      <p>
        <Chip tone={answer.abstains ? "plain" : "accent"}>{answer.abstains ? "left to the model" : "from memory"}</Chip>{" "}
        {answer.why}
      </p>
      <div class="facts-sides">
        <Side title="With memory" text={answer.told} note={answer.sources.join(", ")} />
        <Side title="Without" text={answer.alone} note="" />
      </div>
      {answer.candidates.length > 0 && (
        <div class="snb-tablewrap">
          <table class="snb-table">
            <caption class="snb-muted">
              The nearest facts for “{answer.question}”. Above {number(answer.threshold, 2)} a fact is taken.
            </caption>
            <thead>
              <tr>
                <th scope="col">Fact</th>
                <th scope="col">Score</th>
                <th scope="col">Words</th>
                <th scope="col">Meaning</th>
                <th scope="col">Asks the same</th>
              </tr>
            </thead>
            <tbody>
              {answer.candidates.map((each) => (
                <tr key={each.question}>
                  <td class="facts-cell">
                    {each.question} {each.taken && <Chip tone="good">answers</Chip>}
                  </td>
                  <td>{number(each.score, 2)}</td>
                  <td>{number(each.words, 2)}</td>
                  <td>{number(each.meaning, 2)}</td>
                  <td>{number(each.asked, 2)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

function Side({ title, text, note }: { title: string; text: string; note: string }) {
  return (
    <article class="facts-side">
      <h4>{title}</h4>
      <p>{text === "" ? "(nothing)" : text}</p>
      {note && <p class="snb-muted">Source: {note}</p>}
    </article>
  );
}
