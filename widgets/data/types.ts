/** The traits of DataPanel, as shadownb/panels/_data_state.py writes them. */
import type { Reading } from "../lib/columns";
import type { ErrorInfo } from "../lib/model";
import type { Part } from "../lib/row-parts";

export interface Source {
  stage: "none" | "loading" | "ready" | "failed";
  choice?: string;
  name?: string;
  from?: string;
  error?: ErrorInfo;
}

export interface Entry {
  path: string;
  name: string;
  folder: boolean;
  size: number | null;
}

export interface Listing {
  folder: string;
  parent: string;
  home: string;
  entries: Entry[];
  more: number;
  others: number;
  kinds: string[];
}

export interface Upload {
  id: string;
  name: string;
  done: number;
  size: number;
  largest: number;
  kinds: string[];
  error?: ErrorInfo;
}

export interface Listed {
  repo: string;
  downloads: number;
  likes: number;
  gated: boolean;
  about: string;
}

export interface Preview {
  repo: string;
  subsets: string[];
  subset: string;
  splits: string[];
  split: string;
  rows: Part[][];
}

export interface Hub {
  stage: "none" | "loading" | "ready" | "failed";
  query?: string;
  found?: Listed[];
  preview?: Preview;
  error?: ErrorInfo;
}

export interface Suggestion {
  columns: [name: string, target: string, reason: string][];
  valid: number;
  rows: number;
  preview: Part[][];
}

export interface HowRead extends Reading {
  format?: string;
  raw?: boolean;
  bad?: { place: string; row: number; reason: string }[];
  bad_count?: number;
  counts?: [reason: string, rows: number][];
  suggestion?: Suggestion | null;
  /** When the columns of a table with these headers were said, in seconds since 1970. */
  remembered?: number | null;
}

export interface PartOf {
  id: string;
  title: string;
  rows: number;
  valid: number;
}

export interface Row {
  index: number;
  number: number;
  parts: Part[];
  bad: string;
}

/** What was looked for, by the names of Dataset.filter. */
export type Asked = Partial<Record<string, string | number>>;

export interface Page {
  part: string;
  begin: number;
  total: number;
  all: number;
  place: string;
  rows: Row[];
  asked: Asked;
}

export interface Edited {
  part: string;
  index: number;
  number: number;
  fields: { path: (string | number)[]; label: string; text: string }[];
  json: string;
}

export interface StepDone {
  title: string;
  rows: string;
}

export interface Leaks {
  stage: "none" | "loading" | "ready" | "unknown" | "failed";
  summary?: string;
  count?: number;
  rows?: string[];
  error?: ErrorInfo;
}

export interface Tokens {
  stage: "none" | "loading" | "ready" | "failed";
  bins?: [from: number, to: number, rows: number][];
  figures?: [name: string, value: string][];
  counted?: number;
  of?: number;
  max_length?: number | null;
  error?: ErrorInfo;
}
