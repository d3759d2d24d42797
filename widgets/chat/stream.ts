/** The conversation as the front end holds it, and how streamed pieces are added to it. */
import type { ErrorInfo } from "../lib/model";

/** "tuned", "base", or a checkpoint as "RUN@STEP". */
export type SideName = string;
export type SideStatus = "queued" | "waiting" | "streaming" | "done" | "stopped" | "failed";

export interface Side {
  status: SideStatus;
  text: string;
  /** What it wrote to itself before the answer. */
  reasoning?: string;
  badge: string;
  note: string;
  tokens: number;
  seconds: number | null;
  error: ErrorInfo | null;
}

export interface Turn {
  id: number;
  prompt: string;
  seed: number | null;
  /** Nothing was trained yet when it was asked. */
  untrained?: boolean;
  /** It begins a conversation below another one. */
  begins?: boolean;
  /** Which row was asked, in words; empty for what was typed. */
  row?: string;
  /** Of a row: what its question was, how many messages came before it, its answer, and what that is. */
  role?: string;
  earlier?: number;
  expected?: string;
  meaning?: string;
  sides: Partial<Record<SideName, Side>>;
}

export interface Delta {
  turn: number;
  side: SideName;
  /** Which of the side's texts grows. */
  field?: "text" | "reasoning";
  /** Length of that text before this piece; a piece that doesn't fit is dropped, the end brings all. */
  at: number;
  text: string;
  status: SideStatus;
  tokens: number;
}

/** Return the turns with the piece added, or null when it doesn't continue what is here. */
export function append(turns: Turn[], delta: Delta): Turn[] | null {
  const index = turns.findIndex((turn) => turn.id === delta.turn);
  const turn = turns[index];
  const side = turn?.sides[delta.side];
  if (!turn || !side) return null;
  const field = delta.field ?? "text";
  const before = side[field] ?? "";
  if (before.length >= delta.at + delta.text.length) return turns;
  if (before.length !== delta.at) return null;
  const grown: Side = { ...side, [field]: before + delta.text, status: delta.status, tokens: delta.tokens };
  const next = turns.slice();
  next[index] = { ...turn, sides: { ...turn.sides, [delta.side]: grown } };
  return next;
}

export const isBusy = (turns: Turn[]): boolean =>
  turns.some((turn) =>
    Object.values(turn.sides).some((side) => side && ["queued", "waiting", "streaming"].includes(side.status)),
  );
