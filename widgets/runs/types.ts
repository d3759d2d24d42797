/** What the kernel tells of runs; see shadownb/panels/_runs_table.py. */
import type { Axis } from "../lib/parallel";

export interface Asked {
  query: string;
  sort: string;
  descending: boolean;
  first: number;
  archived: boolean;
  columns: string[];
}

export interface Line {
  id: string;
  status: string;
  words: string;
  live: boolean;
  /** How much of a run that goes on is done, 0 to 1. */
  share: number | null;
  pinned: boolean;
  archived: boolean;
  tags: string[];
  note: string;
  cells: string[];
}

export interface Table {
  columns: [key: string, title: string][];
  lines: Line[];
  found: number;
  first: number;
  count: number;
  all: number;
  /** Archived runs that would be found, too. */
  hidden: number;
  /** Runs that were read, of how many, while the table is being read. */
  reading: [number, number] | null;
  /** What is wrong with the query. */
  problem: string;
}

export interface ColumnGroup {
  title: string;
  columns: { key: string; title: string }[];
}

export interface Opened {
  id: string;
  facts: [string, string][];
  options: [string, string][];
  metrics: [string, string, string, string][];
  parent: string;
  children: string[];
  erased: boolean;
  tags: string[];
  note: string;
  pinned: boolean;
  archived: boolean;
  live: boolean;
  /** What can be done with it. */
  finishes?: import("../lib/finish").Finish[];
}

export interface Comparison {
  ids: string[];
  labels: string[];
  metrics: string[];
  differences?: string[][];
  results?: string[][];
  parallel?: Axis[];
}

export interface Curves {
  metric: string;
  title: string;
  axis: "step" | "tokens" | "time";
  smoothing: number;
  lines: { id: string; label: string; x: number[]; y: number[] }[];
}

export interface Waiting {
  id: string;
  /** The others pass it. */
  held: boolean;
  method: string;
  model: string;
}

export interface DeviceQueue {
  device: string;
  paused: boolean;
  /** Id of the run that trains there now, or "". */
  training: string;
  waiting: Waiting[];
}

export interface Trash {
  count: number;
  /** Those that were deleted here last. */
  undo: string[];
  ids: string[];
}
