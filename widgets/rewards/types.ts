/** What the kernel sends of the lab; see shadownb/engine/scoring/laboratory/report.py. */

import type { Choice } from "../lib/grouped";

export interface Choices {
  scorers: Choice[];
  good: Choice[];
  bad: Choice[];
}

export interface Chosen {
  scorer: string;
  good: string;
  bad: string;
}

export interface State {
  stage: "none" | "running" | "ready" | "failed";
  done?: number;
  error?: import("../lib/model").ErrorInfo;
}

export interface Scored {
  text: string;
  prompt: string;
  expected: string;
  value: number | null;
  reason: string;
}

export interface Fooled {
  hack: string;
  means: string;
  tried: number;
  fooled: number;
  close: boolean;
  best: Scored;
}

export interface Histogram {
  edges: number[];
  good: number[];
  bad: number[];
  hacks: number[];
}

export interface Found {
  scorer: string;
  good: Scored[];
  bad: Scored[];
  fooled: Fooled[];
  hacks: Record<string, number | null>;
  median_good: number | null;
  separation: number | null;
  findings: string[];
  histogram: Histogram;
  seconds: number;
}
