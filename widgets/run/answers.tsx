/** Scored answers of a step of reinforcement: group by group, sortable, with what the same prompts were answered before. */
import { useState } from "preact/hooks";
import { Button, Fold } from "../lib/controls";
import { count, MISSING, number } from "../lib/format";
import { useCommand } from "../lib/model";
import { useId } from "../lib/use-id";
import { AnswerText } from "./answer-text";
import { changeOf, columnsOf, type Order, type Sorting, sortedAnswers, sortedGroups } from "./sorting";
import type { Answer, AnswerGroup, Answers } from "./types";

const ORDERS: [Order, string][] = [
  ["asked", "As asked"],
  ["worst", "Lowest reward first"],
  ["spread", "Largest spread first"],
  ["change", "Largest change first"],
];

export function AnswerTable({ answers, ended }: { answers: Answers; ended: boolean }) {
  const [send] = useCommand();
  const [order, setOrder] = useState<Order>("asked");
  const [sorting, setSorting] = useState<Sorting>({ column: "", down: true });
  const id = useId();
  if (answers.steps.length === 0) {
    return <p class="snb-muted">{ended ? "No answer was scored." : "Answers appear here with each batch."}</p>;
  }
  const at = answers.steps.indexOf(answers.step);
  const show = (step: number | undefined) => step !== undefined && send("show_answers", { step });
  return (
    <div class="snb-stack">
      <div class="snb-row run-answerbar">
        <span class="snb-row">
          <Button kind="quiet" small disabled={at <= 0} onClick={() => show(answers.steps[at - 1])}>
            Earlier
          </Button>
          <label class="snb-row" for={`${id}-step`}>
            Step
            <select
              id={`${id}-step`}
              class="snb-select"
              value={answers.step}
              onChange={(event) => show(Number(event.currentTarget.value))}
            >
              {answers.steps.map((step) => (
                <option key={step} value={step}>
                  {count(step)}
                </option>
              ))}
            </select>
          </label>
          <Button
            kind="quiet"
            small
            disabled={at === answers.steps.length - 1}
            onClick={() => show(answers.steps[at + 1])}
          >
            Later
          </Button>
          {!answers.following && (
            <Button kind="quiet" small onClick={() => send("show_answers", {})}>
              {ended ? "Newest" : "Follow the newest"}
            </Button>
          )}
        </span>
        <label class="snb-row snb-push" for={`${id}-order`}>
          Groups
          <select
            id={`${id}-order`}
            class="snb-select"
            value={order}
            onChange={(event) => setOrder(event.currentTarget.value as Order)}
          >
            {ORDERS.map(([value, words]) => (
              <option key={value} value={value}>
                {words}
              </option>
            ))}
          </select>
        </label>
      </div>
      {answers.groups.length === 0 && <p class="snb-muted">The file with these answers is not there any more.</p>}
      {sortedGroups(answers.groups, order).map((group) => (
        <Group key={`${answers.step}/${group.row}`} group={group} sorting={sorting} onSort={setSorting} />
      ))}
    </div>
  );
}

interface GroupProps {
  group: AnswerGroup;
  sorting: Sorting;
  onSort: (sorting: Sorting) => void;
}

function Group({ group, sorting, onSort }: GroupProps) {
  const change = changeOf(group);
  return (
    <section class="run-group" aria-label={`Answers to: ${group.prompt}`}>
      <header class="run-grouphead">
        <p class="run-answer run-prompt">{group.prompt}</p>
        <p class="run-groupsums">
          <b>{number(group.mean)}</b> on average
          <span class="snb-muted">
            {group.low === group.high ? "all alike, nothing to learn" : `${number(group.low)} to ${number(group.high)}`}
          </span>
          {group.before !== null && change !== null && (
            <span class={`run-change ${change > 0 ? "is-up" : change < 0 ? "is-down" : ""}`}>
              {signed(change)} since step {count(group.before.step)}
            </span>
          )}
        </p>
      </header>
      <Table answers={group.completions} sorting={sorting} onSort={onSort} caption={`Answers to ${group.prompt}`} />
      {group.before !== null && (
        <Fold summary={`Answers of step ${count(group.before.step)}`}>
          <Table
            answers={group.before.completions}
            sorting={sorting}
            onSort={onSort}
            caption={`Answers of step ${group.before.step} to ${group.prompt}`}
          />
        </Fold>
      )}
    </section>
  );
}

interface TableProps {
  answers: Answer[];
  sorting: Sorting;
  onSort: (sorting: Sorting) => void;
  caption: string;
}

function Table({ answers, sorting, onSort, caption }: TableProps) {
  const columns = columnsOf(answers);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
    <div class="snb-tablewrap" tabIndex={0}>
      <table class="snb-table run-answertable">
        <caption class="snb-hidden">{caption}</caption>
        <thead>
          <tr>
            <th scope="col">Answer</th>
            {columns.map(({ id, title }) => {
              const here = sorting.column === id;
              return (
                <th
                  scope="col"
                  class="is-number"
                  key={id}
                  aria-sort={here ? (sorting.down ? "descending" : "ascending") : "none"}
                >
                  <button
                    type="button"
                    class="run-sort"
                    onClick={() => onSort({ column: id, down: here ? !sorting.down : true })}
                  >
                    {title}
                    <span aria-hidden="true">{here ? (sorting.down ? " ↓" : " ↑") : ""}</span>
                  </button>
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {sortedAnswers(answers, sorting).map((answer, i) => (
            <tr key={i}>
              <td>
                <AnswerText>{answer.completion || <span class="snb-muted">(empty)</span>}</AnswerText>
                {answer.finish_reason === "length" && <span class="snb-chip snb-chip--warn">cut off</span>}
                {Object.entries(answer.reasons).map(([name, reason]) => (
                  <p class="run-reason snb-muted" key={name}>
                    {name}: {reason}
                  </p>
                ))}
              </td>
              {columns.map(({ id, value }) => (
                <td class="is-number" key={id}>
                  {id === "tokens"
                    ? count(answer.tokens)
                    : id === "advantage"
                      ? signed(answer.advantage)
                      : shown(value(answer))}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const shown = (value: number | null) => (value === null ? MISSING : number(value));
const signed = (value: number) => `${value > 0 ? "+" : ""}${number(value)}`;
