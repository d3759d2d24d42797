import { expect, test } from "vitest";
import { changeOf, columnsOf, sortedAnswers, sortedGroups } from "./sorting";
import type { Answer, AnswerGroup } from "./types";

function answer(reward: number | null, tokens: number, more: Partial<Answer> = {}): Answer {
  return {
    completion: `${tokens}`,
    reward,
    rewards: { one: reward },
    reasons: {},
    advantage: reward ?? 0,
    tokens,
    finish_reason: "stop",
    ...more,
  };
}

function group(
  row: string,
  mean: number | null,
  low: number | null,
  high: number | null,
  before: number | null = null,
) {
  const then = before === null ? null : { step: 1, mean: before, completions: [] };
  return { row, prompt: row, mean, low, high, before: then, completions: [] } as AnswerGroup;
}

test("answers are sorted both ways, and those without a reward stay last", () => {
  const answers = [answer(0.2, 9), answer(null, 3), answer(0.9, 5)];
  const by = (column: string, down: boolean) => sortedAnswers(answers, { column, down }).map((one) => one.tokens);
  expect(by("reward", true)).toEqual([5, 9, 3]);
  expect(by("reward", false)).toEqual([9, 5, 3]);
  expect(by("tokens", true)).toEqual([9, 5, 3]);
  expect(by("", true)).toEqual([9, 3, 5]);
});

test("a scorer alone has no column beside the reward, several have one each", () => {
  expect(columnsOf([answer(1, 1)]).map((one) => one.id)).toEqual(["reward", "advantage", "tokens"]);
  const two = answer(1, 1, { rewards: { exact: 1, short: 0.5 } });
  expect(columnsOf([two]).map((one) => one.title)).toEqual(["Reward", "exact", "short", "Advantage", "Tokens"]);
});

test("groups are sorted by reward, spread and change", () => {
  const groups = [group("a", 0.5, 0.4, 0.6, 0.5), group("b", 0.1, 0, 1, 0.9), group("c", null, null, null)];
  const rows = (order: Parameters<typeof sortedGroups>[1]) => sortedGroups(groups, order).map((one) => one.row);
  expect(rows("asked")).toEqual(["a", "b", "c"]);
  expect(rows("worst")).toEqual(["b", "a", "c"]);
  expect(rows("spread")).toEqual(["b", "a", "c"]);
  expect(rows("change")).toEqual(["b", "a", "c"]);
  expect(groups.map(changeOf)).toEqual([0, -0.8, null]);
});
