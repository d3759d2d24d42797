/** Orders of the groups and answers of a step. */
import type { Answer, AnswerGroup } from "./types";

export type Order = "asked" | "worst" | "spread" | "change";

export interface Sorting {
  /** Id of a column; empty leaves the answers as they were sampled. */
  column: string;
  down: boolean;
}

export interface Column {
  id: string;
  title: string;
  value: (answer: Answer) => number | null;
}

/** Reward, each scorer's where there are several, advantage and length. */
export function columnsOf(answers: readonly Answer[]): Column[] {
  const names = Object.keys(answers[0]?.rewards ?? {});
  const scorers = names.length > 1 ? names : [];
  return [
    { id: "reward", title: "Reward", value: (answer) => answer.reward },
    ...scorers.map((name) => ({
      id: `scorer/${name}`,
      title: name,
      value: (answer: Answer) => answer.rewards[name] ?? null,
    })),
    { id: "advantage", title: "Advantage", value: (answer) => answer.advantage },
    { id: "tokens", title: "Tokens", value: (answer) => answer.tokens },
  ];
}

/** The answers by one column; those without a value come last, whichever way it goes. */
export function sortedAnswers(answers: readonly Answer[], { column, down }: Sorting): Answer[] {
  const value = columnsOf(answers).find((one) => one.id === column)?.value;
  if (value === undefined) {
    return [...answers];
  }
  return answers.toSorted((a, b) => {
    const [one, other] = [value(a), value(b)];
    if (one === null || other === null) {
      return Number(one === null) - Number(other === null);
    }
    return down ? other - one : one - other;
  });
}

/** How much more the prompt's answers scored than the last time it was asked; null where one of the two is not known. */
export function changeOf(group: AnswerGroup): number | null {
  const then = group.before?.mean ?? null;
  return then === null || group.mean === null ? null : group.mean - then;
}

const KEYS: Record<Order, (group: AnswerGroup) => number | null> = {
  asked: () => 0,
  worst: (group) => group.mean,
  spread: (group) => (group.low === null || group.high === null ? null : group.low - group.high),
  change: (group) => {
    const change = changeOf(group);
    return change === null ? null : -Math.abs(change);
  },
};

export function sortedGroups(groups: readonly AnswerGroup[], order: Order): AnswerGroup[] {
  const key = KEYS[order];
  return groups.toSorted((a, b) => (key(a) ?? Number.POSITIVE_INFINITY) - (key(b) ?? Number.POSITIVE_INFINITY));
}
