/** Attempts at the same task, put in order by number keys or buttons, the best first; "=" makes the next one as good. */
import { useEffect, useState } from "preact/hooks";
import { Button } from "../lib/controls";
import { number } from "../lib/format";
import { KEY_OF } from "../lib/keys";
import type { Attempt } from "./types";

export interface Ranking {
  order: number[][];
  keys: Record<string, () => void>;
  tie: boolean;
  toggle: () => void;
  add: (id: number) => void;
  back: () => void;
  keep: () => void;
}

/** The order so far, and the keys that make it. */
export function useRanking(
  attempts: Attempt[],
  send: (kind: string, options?: Record<string, unknown>) => void,
): Ranking {
  const [order, setOrder] = useState<number[][]>([]);
  const [tie, setTie] = useState(false);
  const task = attempts.map(({ id }) => id).join();
  useEffect(() => {
    setOrder([]);
    setTie(false);
  }, [task]);
  const placed = order.flat();
  const add = (id: number) => {
    if (placed.includes(id)) return;
    const [last, before] = [order.at(-1) ?? [], order.slice(0, -1)];
    setOrder(tie && last.length > 0 ? [...before, [...last, id]] : [...order, [id]]);
    setTie(false);
  };
  const back = () => {
    const last = order.at(-1) ?? [];
    setOrder(last.length > 1 ? [...order.slice(0, -1), last.slice(0, -1)] : order.slice(0, -1));
  };
  const keep = () => {
    if (placed.length < 2) return;
    send("rank", { best_first: order });
    setOrder([]);
  };
  const toggle = () => setTie(!tie && placed.length > 0);
  const keys: Record<string, () => void> = {};
  attempts.forEach(({ id }, at) => {
    keys[String(at + 1)] = () => add(id);
  });
  if (placed.length > 0) {
    Object.assign(keys, { "=": toggle, Backspace: back, Enter: keep });
  }
  return { order, keys, tie, toggle, add, back, keep };
}

export function RankingView({ attempts, open, ranking }: { attempts: Attempt[]; open: number; ranking: Ranking }) {
  if (attempts.length === 0) {
    return null;
  }
  const { order, tie, toggle, add, back, keep } = ranking;
  const placed = order.flat();
  const letter = (id: number) => attempts.findIndex((each) => each.id === id) + 1;
  const said = order.map((members) => members.map(letter).join(" = ")).join(" > ");
  return (
    <fieldset class="trajectories-ranking">
      <legend>Attempts at this task, the best first</legend>
      <ol>
        {attempts.map(({ id, last, rank, score }, at) => (
          <li key={id}>
            <Button small disabled={placed.includes(id)} {...KEY_OF(String(at + 1))} onClick={() => add(id)}>
              <kbd>{at + 1}</kbd> {id === open ? "this one" : "that one"}
            </Button>{" "}
            <span class="trajectories-last">{last || "(no text)"}</span>
            <span class="snb-muted">
              {rank === null ? "" : ` ranked ${number(rank)}`}
              {score === null ? "" : ` score ${number(score)}`}
            </span>
          </li>
        ))}
      </ol>
      {placed.length > 0 && (
        <div class="snb-row">
          <output aria-label="Order so far">{said}</output>
          <Button small kind="quiet" aria-pressed={tie} {...KEY_OF("=")} onClick={toggle}>
            Next is as good <kbd>=</kbd>
          </Button>
          <Button small kind="quiet" {...KEY_OF("Backspace")} onClick={back}>
            Take one off <kbd>⌫</kbd>
          </Button>
          <Button small kind="primary" disabled={placed.length < 2} {...KEY_OF("Enter")} onClick={keep}>
            Keep the order <kbd>↵</kbd>
          </Button>
        </div>
      )}
    </fieldset>
  );
}
