/** What the kernel sends of a judge; see shadownb/panels/judge.py. */
import type { Choice } from "../lib/grouped";
import type { ErrorInfo } from "../lib/model";

export interface Choices {
  sources: Choice[];
  judges: Choice[];
}

export interface Chosen {
  source: string;
  judge: string;
  rubric: string;
  options: Record<string, string>;
  problems: Record<string, string>;
}

export interface Work {
  stage: "none" | "running" | "stopping" | "stopped" | "ended" | "failed";
  done?: number;
  total?: number;
  error?: ErrorInfo;
}

export interface Summary {
  groups?: number;
  attempts: number;
  unscored: number;
  mean: number | null;
  rated: number;
  requests: number;
  reused: number;
  cost: number | null;
  lines: string[];
  /** Pairs of attempts at one task whose scores differ. */
  pairs: number;
}

export interface Row {
  group: number;
  task: string;
  scores: (number | null)[];
  kind: "" | "people" | "ranking" | "orders";
  what: string;
}

export interface Page {
  filter?: string;
  filters?: { id: string; title: string; count: number }[];
  page?: number;
  pages?: number;
  count?: number;
  rows?: Row[];
}

export interface Attempt {
  number: number;
  text: string;
  score: number | null;
  reason: string;
  spread: number;
  people: number | null;
  rank: number | null;
  about: string;
}

export interface Item {
  group: number;
  task: string;
  attempts: Attempt[];
  orders: number;
  failed: string[];
  found: string[];
}

export interface Measured {
  enough?: boolean;
  given: number;
  width: number;
  least?: number;
  why?: string;
  by?: string;
  sentences?: string[];
  chance?: boolean;
  narrower?: string;
}

export interface Click {
  given?: number;
  left: number;
  undo: boolean;
  /** Whether clicks are kept in a recording, or only as long as the panel lives. */
  kept: boolean;
  number?: number;
  task?: string;
  answer?: string;
}

export interface Handed {
  what?: string;
  method: string;
  rows: number;
  /** Whether a Train panel took it. */
  taken: boolean;
}

/** A score from 0 to 1: a judge gives whole tenths, their mean has a digit more. */
export const score = (value: number | null): string => (value === null ? "--" : value.toFixed(2));
