/** What the kernel tells of sweeps; see shadownb/panels/_sweep_view.py. */
import type { Axis } from "../lib/parallel";

export interface Line {
  name: string;
  status: string;
  done: number;
  trials: number | null;
}

export interface Trial {
  trial: number;
  state: string;
  words: string;
  run: string;
  cells: string[];
  value: string;
  step: string;
  time: string;
  error: string;
  best: boolean;
}

export interface Sweep {
  name: string;
  status: string;
  metric: string;
  metric_title: string;
  better: "less" | "more";
  counts: [words: string, count: number][];
  done: number;
  trials: number | null;
  note: string;
  error: { what?: string; fix?: string };
  space: [option: string, values: string][];
  facts: [string, string][];
  heads: string[];
  rows: Trial[];
  ids: string[];
  labels: string[];
  parallel: Axis[];
  importance: [option: string, share: number][];
  importance_why: string;
  best: { trial?: number; run?: string };
}

export interface Offered {
  name: string;
  title: string;
  help: string;
  choices: string;
}

export interface Base {
  words?: string;
  missing?: string;
  method?: string;
  options?: [string, string][];
}
