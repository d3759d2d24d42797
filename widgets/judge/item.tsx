/** A group in full: the task, each attempt with its score and the judge's reason, the best first. */
import { Chip } from "../lib/controls";
import { counted, number } from "../lib/format";
import { useCommand } from "../lib/model";
import { Opened as Frame } from "../lib/opened";
import { type Attempt, type Item, score } from "./types";

export function Opened({ item }: { item: Item }) {
  const [send] = useCommand();
  const attempts = [...item.attempts].sort((one, other) => (other.score ?? -1) - (one.score ?? -1));
  return (
    <Frame id={item.group} label="Open group" title={`Group ${item.group + 1}`} onClose={() => send("shut")}>
      {item.found.map((words) => (
        <p key={words}>{words}</p>
      ))}
      {item.failed.map((words) => (
        <p key={words} class="snb-field-error">
          {words}
        </p>
      ))}
      <p class="snb-muted">Shown to the judge in {counted(item.orders, "order")}.</p>
      <div class="judge-text">
        <b>Task</b>
        <p>{item.task}</p>
      </div>
      <ol class="judge-attempts" aria-label="Attempts">
        {attempts.map((attempt) => (
          <AttemptView key={attempt.number} attempt={attempt} />
        ))}
      </ol>
    </Frame>
  );
}

function AttemptView({ attempt }: { attempt: Attempt }) {
  const { score: given, spread, people, rank, about, reason, text } = attempt;
  return (
    <li class="judge-text">
      <div class="snb-row">
        <b>{given === null ? "no score" : score(given)}</b>
        {spread > 0 && <span class="snb-muted">moved by {score(spread)} between orders</span>}
        {people !== null && (
          <Chip tone={given !== null && Math.abs(given - people) >= 0.5 ? "bad" : "good"}>people: {score(people)}</Chip>
        )}
        {rank !== null && <Chip>ranked {number(rank)}</Chip>}
        {about !== "" && <span class="snb-muted">{about}</span>}
      </div>
      {reason !== "" && <p class="snb-muted">{reason}</p>}
      <p>{text}</p>
    </li>
  );
}
