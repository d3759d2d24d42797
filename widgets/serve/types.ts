/** What the kernel sends of servers; see shadownb/panels/_served.py. */

export interface Stats {
  requests: number;
  failed: number;
  requests_per_s: number;
  tokens_per_s: number;
  latency_s: { p50: number; p95: number } | null;
  first_piece_s: { p50: number; p95: number } | null;
  active?: number;
  waiting?: number;
  turned_away?: number;
}

export interface ServerRow {
  id: string;
  url: string;
  engine: string;
  reason: string;
  models: string[];
  /** Why requests cannot be answered now; empty where they can. */
  health: string;
  stats: Stats;
  proxied: string;
  advice: string;
  clients: { id: string; code: string }[];
}

export interface Played {
  question?: string;
  answers?: {
    server: string;
    model: string;
    engine: string;
    text: string;
    error: string;
    tokens?: number | null;
    seconds: number;
  }[];
}

export interface Choice {
  id: string;
  title: string;
}

export interface State {
  stage: "ready" | "working" | "failed";
  doing?: "starting" | "stopping" | "asking";
  error?: import("../lib/model").ErrorInfo;
}

/** What another panel has filled in: a listed model, or a run by its id. */
export interface Wanted {
  source?: string;
  listed?: boolean;
  count?: number;
}
