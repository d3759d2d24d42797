/** The traits of TrainPanel, as shadownb/panels/train.py writes them. */
import type { Reading } from "../lib/columns";
import type { ErrorInfo } from "../lib/model";
import type { Part } from "../lib/row-parts";
import type { Token } from "../lib/token-text";
import type { Stage } from "./start";

export interface Choice {
  id: string;
  title: string;
  group: string;
  note?: string;
}

export interface Choices {
  data?: Choice[];
  models?: Choice[];
  /** By kind: functions that an option can name, of the notebook and built in. */
  functions?: Record<string, { name: string; group: string }[]>;
}

export interface DataState extends Reading {
  stage: Stage;
  choice?: string;
  name?: string;
  format?: string;
  rows?: number;
  valid?: number;
  bad?: { place: string; row: number; reason: string }[];
  bad_count?: number;
  preview?: Part[][];
  error?: ErrorInfo;
}

export interface EvalState {
  kind: "none" | "auto" | "share" | "data";
  share?: number;
  choice?: string;
  stage?: Stage;
  rows?: number;
  error?: ErrorInfo;
}

/** How a model is loaded; what is left out is decided by the machine. */
export interface LoadOptions {
  quantize?: string;
  device?: string;
  backend?: string;
}

export interface ModelState {
  stage: Stage;
  choice?: string;
  name?: string;
  phase?: string;
  parameters?: number;
  dtype?: string;
  device?: string;
  quantization?: string | null;
  max_length?: number;
  base_hash?: string;
  trained?: [string, number] | null;
  load_options?: LoadOptions;
  error?: ErrorInfo;
}

/** What the next run starts from; no choices while no model is loaded. */
export interface StartFrom {
  choice?: "base" | "trained" | "first" | "checkpoint";
  choices?: { id: "base" | "trained" | "first" | "checkpoint"; title: string; note: string }[];
  /** Memory that a fresh copy of the base takes; null where the model is the bare base itself. */
  copy_gb?: number | null;
}

export interface Method {
  name: string;
  title: string;
  group: string;
  hint: string;
  data: string;
  rate: string;
  rate_source: string;
  /** Weights it trains: how many, and as a share of all; null while no model is loaded. */
  share: { count: number; share: number } | null;
  blocked: string | null;
}

/** By method, once data and model are chosen. */
export type MethodMemory = Record<string, { expected_gb: number; fits: boolean } | undefined>;

export interface Device {
  kind: string;
  name: string;
  memory_gb: number | null;
  free_memory_gb: number | null;
  usable: boolean;
  reason: string;
}

export interface Hardware {
  devices?: Device[];
  backends?: string[];
  recommended?: string;
  reason?: string;
  free_memory_gb?: number;
}

export interface Estimate {
  stage: Stage;
  lines?: [label: string, gb: number][];
  low_gb?: number;
  expected_gb?: number;
  high_gb?: number;
  seconds?: number | null;
  fits?: boolean;
  reason?: string;
  error?: ErrorInfo;
}

/** As the kernel sends it: id, text, whether the loss counts it, whether it is a control token. */

export interface Inspection {
  stage: Stage;
  row?: number;
  sequences?: Token[][];
  captions?: string[];
  summary?: string;
  template_source?: string;
  template_reason?: string;
  error?: ErrorInfo;
}

export interface PlanRow {
  label: string;
  value: string;
  reason: string;
}

export interface RunStateInfo {
  stage: "none" | "starting" | "active" | "ended";
  id?: string;
  status?: string;
}
