/** What the kernel sends of evaluations; see shadownb/panels/evaluate.py and shadownb/engine/evals/evaluation/summary.py. */

import type { Choice as Grouped } from "../lib/grouped";

export interface Choice extends Grouped {
  about?: string;
}

export interface Kept {
  name: string;
  about: string;
  created: number;
}

export interface Choices {
  models?: Choice[];
  suites?: Choice[];
  data?: Choice[];
  scorers?: Choice[];
  kept?: Kept[];
}

export interface ChosenSuite {
  id: string;
  data?: string;
  scorer?: string;
}

export interface Chosen {
  models: string[];
  suites: ChosenSuite[];
  options: Record<string, string>;
  problems: Record<string, string>;
}

export interface Work {
  stage: "none" | "preparing" | "running" | "stopping" | "ended" | "failed";
  name?: string;
  text?: string;
  error?: import("../lib/model").ErrorInfo;
}

export interface SuiteProgress {
  suite: string;
  done: number;
  graded: number;
  failed: number;
  total: number;
  refused: string;
  state: "waiting" | "working" | "done" | "refused" | "missing";
  eta: number | null;
}

export interface EvaluationProgress {
  status?: "working" | "complete" | "incomplete";
  suites?: SuiteProgress[];
  missing?: number;
}

export interface Interval {
  value: number | null;
  low: number | null;
  high: number | null;
}

export interface Cell extends Interval {
  graded: number;
  clusters: number;
  answered: number;
  unanswered: number;
  ungraded: number;
  outcomes: Record<string, number>;
  notes: Record<string, number>;
  rules: Record<string, number>;
  by_extraction: number;
}

export interface Difference extends Interval {
  items: number;
  wins: number;
  losses: number;
  ties: number;
  p: number | null;
  p_alone: number;
  needed: number | null;
  direction: "better" | "worse" | "undecided" | "";
}

export interface SuiteSummary {
  name: string;
  items: number;
  share: boolean;
  cells: Record<string, Cell>;
  differences: Record<string, Difference>;
  /** Languages, tasks or databases, where it has several; in an evaluation of an older version there are none. */
  parts?: Part[];
  has_grid?: boolean;
}

export interface Part {
  name: string;
  cells: Record<string, Cell>;
}

/** An item of one part: its score, and that of the model it is compared with. */
export interface Square {
  id: string;
  score: number | null;
  before: number | null;
}

export interface Grid {
  suite: string;
  side: string;
  to: string;
  parts: string[];
  lines: { problem: string; squares: (Square | null)[] }[];
}

export interface Summary {
  name: string;
  sides: string[];
  origins: Record<string, { model?: string; run?: string; step?: number; endpoint?: string }>;
  to: string;
  samples: number;
  suites: SuiteSummary[];
  refused: Record<string, string>;
}

export interface Findings {
  changed?: string[];
  missing?: string[];
}

/** Points of an interval that narrows: [items, value, low, high]. */
export type Narrowing = Record<string, [number, number, number | null, number | null][]>;

export interface BrowsedItem {
  id: string;
  asked: string;
  cells: { score: number | null; words: string }[];
}

export interface Browse {
  suite: string;
  side: string;
  to: string;
  filter: string;
  page: number;
  pages: number;
  count: number;
  filters: { id: string; title: string; count: number }[];
  items: BrowsedItem[];
}

export interface Sample {
  text: string;
  extracted: string;
  score: number | null;
  outcome: string;
  reason: string;
  error: string;
  notes: string[];
  rules: Record<string, number>;
  answered: boolean;
  graded: boolean;
}

export interface Item {
  id: string;
  suite: string;
  messages: { role: string; text: string }[];
  expected: string;
  answers: { side: string; samples: Sample[] }[];
  diff: ["same" | "removed" | "added", string][];
  between: [string, string];
}

export interface BoardEntry extends Interval {
  suite: string;
  side: string;
  evaluation: string;
  place: number;
  group: number;
  share: boolean;
  items: number;
  graded: number;
  run: string | null;
  step: number | null;
  model: string;
  created: number;
}

export interface Board {
  suites: string[];
  suite: string;
  entries: BoardEntry[];
  runs: { id: string; method: string | null; eval_loss: number | null }[];
}
