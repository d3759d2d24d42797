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
  last: Partial<Record<MetricName | "tokens", number>>;
  best: { step: number; eval_loss: number } | null;
}

export type MetricName = "loss" | "learning_rate" | "grad_norm" | "tokens_per_s" | "peak_memory_gb";

export interface About {
  id: string;
  method: string;
  model: string;
  path: string;
}

export interface Sample {
  step: number;
  items: { prompt: string; completion: string }[];
}

export interface Checkpoint {
  step: number;
  path: string;
  final?: boolean;
  best?: boolean;
  eval_loss?: number | null;
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
