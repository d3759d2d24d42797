/** What the kernel sends of exports; see shadownb/panels/_exported.py. */
import type { ErrorInfo } from "../lib/model";

export interface Format {
  id: string;
  format: string;
  /** As the report calls it. */
  name: string;
  engines: string;
  usual: boolean;
  /** Bytes, estimated; null where that can't be said. */
  size: number | null;
  /** Packages that are fetched before it is written, and the command that does it beforehand. */
  fetches: string[];
  prepare: string;
  refused: ErrorInfo | null;
}

export interface Report {
  path: string;
  format: string;
  size: number;
  files: string[];
  heads: string[];
  rows: string[][];
  points: { name: string; size: number; kl: number }[];
  /** Name of the file to take; empty where nothing was compared. */
  chosen: string;
  reference: string;
  recommendation: string;
  notes: string[];
}

export interface State {
  stage: "ready" | "working" | "failed";
  doing?: string;
  steps?: { text: string; seconds: number | null }[];
  error?: ErrorInfo;
  /** Whether it was asked to end, and then what came of that. */
  stopping?: boolean;
  stopped?: string;
}

/** What another panel has filled in: what for, which formats come first, and whether anything is measured. */
export interface Wanted {
  what?: "save" | "export" | "push";
  formats?: string[];
  measure?: boolean;
  count?: number;
}

/** What was uploaded, or would be. */
export interface Pushed {
  repo: string;
  private: boolean;
  files: [name: string, size: number][];
  sent: boolean;
  url: string;
}
