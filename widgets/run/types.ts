/** The traits of RunPanel, as Python writes them. */
export type RunStatus =
  | "queued"
  | "running"
  | "paused"
  | "succeeded"
  | "stopped"
  | "failed"
  | "interrupted"
  | "discarded";

export interface Status {
  status: RunStatus;
  phase: { name?: string; done?: number; total?: number; unit?: string; message?: string };
  step: number;
  total: number | null;
  epoch: number;
  attempt: number;
  elapsed: number;
  eta: number | null;
  stopping: boolean;
  last: Record<string, number | undefined>;
  best: { step: number; eval_loss: number } | null;
}

/** A chart of what the run's method records beside the common metrics. */
export interface ChartInfo {
  id: string;
  title: string;
  curves: [name: string, words: string][];
  share: boolean;
  /** Whether the run is watched by it rather than by its loss. */
  first?: boolean;
}

/** What the run was estimated to need, and what it really ran with; empty before the run has said. */
export interface RunRecord {
  estimate?: {
    lines?: [label: string, gb: number][];
    low_gb?: number;
    expected_gb?: number;
    high_gb?: number;
    seconds?: number | null;
  };
  trainable?: number | null;
  /** What was decided before the first step, and why. */
  decisions?: Record<string, [value: unknown, reason: string]>;
  /** What the trainer truly had, read from its objects. */
  actual_setup?: Record<string, unknown>;
  versions?: Record<string, string>;
}

export interface About {
  id: string;
  method: string;
  model: string;
  /** What its weights were at the start, in words. */
  start?: string;
  path: string;
}

export interface Sample {
  step: number;
  /** With what the row expects, and what was answered before the first step, where that is known. */
  items: { prompt: string; completion: string; expected?: string; before?: string }[];
}

export interface Answer {
  completion: string;
  /** Null where nothing could score it. */
  reward: number | null;
  /** What each scorer gave, and why. */
  rewards: Record<string, number | null>;
  reasons: Record<string, string>;
  advantage: number;
  tokens: number;
  finish_reason: string;
}

export interface AnswerGroup {
  /** Names the prompt's row. */
  row: string;
  prompt: string;
  mean: number | null;
  low: number | null;
  high: number | null;
  completions: Answer[];
  /** The last time that the prompt was asked before. */
  before: { step: number; mean: number | null; completions: Answer[] } | null;
}

/** Scored answers of a step of reinforcement; no steps where the run has none. */
export interface Answers {
  steps: number[];
  step: number;
  /** Whether it moves on to each new step. */
  following: boolean;
  groups: AnswerGroup[];
}

export interface Checkpoint {
  step: number;
  path: string;
  final?: boolean;
  best?: boolean;
  eval_loss?: number | null;
  /** What the run is loaded with. */
  result?: boolean;
  /** Its folder was deleted. */
  gone?: boolean;
}

/** Held-out losses, once asked for; by step, the base's as "base". */
export interface Losses {
  stage: "none" | "working" | "ready" | "failed";
  rows?: number;
  done?: number;
  total?: number;
  losses?: Record<string, number>;
  error?: import("../lib/model").ErrorInfo;
}

export interface Warning {
  code: string;
  what: string;
  why?: string;
  fix?: string;
}

export const ACTIVE: readonly RunStatus[] = ["queued", "running", "paused"];

export function isActive(status: RunStatus): boolean {
  return ACTIVE.includes(status);
}
