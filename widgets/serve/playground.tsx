/** One question to several models of several servers at once. */
import { useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import type { Played, ServerRow } from "./types";

export function Playground({ servers, working }: { servers: ServerRow[]; working: boolean }) {
  const played = useTraitValue<Played>("played");
  const [question, setQuestion] = useState("");
  const [left, setLeft] = useState<Record<string, boolean>>({});
  const [send, waiting] = useCommand();
  const places = servers.flatMap((server) => server.models.map((model) => [server.id, model] as [string, string]));
  const key = ([server, model]: [string, string]) => `${server} ${model}`;
  const chosen = places.filter((place) => !left[key(place)]);
  const blocked = working || waiting !== null || question.trim() === "" || chosen.length === 0;
  return (
    <form
      class="serve-form"
      aria-label="Playground"
      onSubmit={(event) => {
        event.preventDefault();
        if (!blocked) send("play", { question, places: chosen });
      }}
    >
      <h3>Playground</h3>
      <div class="snb-row">
        {places.map((place) => (
          <label key={key(place)}>
            <input
              type="checkbox"
              checked={!left[key(place)]}
              onChange={(event) => setLeft({ ...left, [key(place)]: !event.currentTarget.checked })}
            />{" "}
            {place[1]} <span class="snb-muted">({servers.find((each) => each.id === place[0])?.engine})</span>
          </label>
        ))}
      </div>
      <Field label="Question" help="Goes to every model that is ticked, over HTTP as from any client.">
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
      <div class="snb-row">
        <Button kind="primary" type="submit" disabled={blocked}>
          Ask them
        </Button>
      </div>
      {played.answers && (
        <div class="serve-answers" aria-live="polite">
          {played.answers.map((each) => (
            <div class="serve-answer" key={`${each.server} ${each.model}`}>
              <h4>
                {each.model} <span class="snb-muted">({each.engine})</span>
              </h4>
              {each.error !== "" ? <p role="alert">{each.error}</p> : each.text}
              <p class="snb-muted">
                {each.seconds.toFixed(2)} s{each.tokens ? `, ${each.tokens} tokens` : ""}
              </p>
            </div>
          ))}
        </div>
      )}
    </form>
  );
}
