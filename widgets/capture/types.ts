/** The traits of the Capture panel. */
import type { ErrorInfo } from "../lib/model";

export type Stage = "none" | "starting" | "recording" | "stopping" | "stopped" | "elsewhere";

export interface ClientForm {
  id: string;
  title: string;
  /** `{token}` stands for the token. */
  code: string;
}

export interface Recording {
  stage: Stage;
  id?: string;
  target?: string | null;
  model?: string | null;
  key_from?: string | null;
  redact?: string[];
  folder?: string;
  base_url?: string;
  clients?: ClientForm[];
  process?: boolean;
}

export interface Form {
  url: string;
  model: string;
  api_key_env: string;
  name: string;
  redact: string[];
  process: boolean;
}

export interface Choice {
  id: string;
  title: string;
}

export interface Choices {
  models: Choice[];
  captures: Choice[];
  keys: Record<string, boolean>;
}

interface Sums {
  calls: number;
  prompt_tokens: number;
  completion_tokens: number;
  cost: number | null;
  unpriced: number;
}

export interface Totals extends Sums {
  statuses: Partial<Record<Status, number>>;
  models: (Sums & { name: string })[];
  more_models: number;
  active: number;
  refused: number;
  failed: number;
  last_error: string;
}

export type Status = "ok" | "error" | "cut" | "client_gone" | "unread";

export interface CallRow {
  seq: number;
  id: string;
  at: number;
  model: string | null;
  status: Status;
  words: string;
  http: number | null;
  route: string;
  stream: boolean;
  tokens_in: number | null;
  tokens_out: number | null;
  cost: number | null;
  seconds: number | null;
  title: string;
  /** The newest number of each name; `score` is the reward of the episode. */
  scores?: Record<string, number>;
}

export interface CallPage {
  rows?: CallRow[];
  older?: boolean;
  newer?: boolean;
  total?: number;
  search?: string;
  status?: string;
  tag?: string;
  /** Tags that clients gave, as `name=value`. */
  tags?: string[];
}

export interface CallDetail extends CallRow {
  session: string | null;
  dialect: string;
  finish_reason: string | null;
  first_byte: number | null;
  retry_of: string | null;
  usage: Record<string, number>;
  messages: number;
  asked: string;
  answer: string;
  tools: { name: string; arguments: string }[];
  error: ErrorInfo | null;
  code: string;
  tags: Record<string, string>;
  /** What was said of it, oldest first. */
  judged: { name: string; value: number | null; note: string; at: number }[];
}

/** What each call site took; `newest` is how many calls that is of, where it is not of all. */
export interface Costs {
  by: string;
  working?: boolean;
  rows?: {
    site: string;
    calls: number;
    tokens_in: number;
    tokens_out: number;
    cost: number | null;
    estimated: number | null;
    unpriced: number;
  }[];
  more?: number;
  newest?: number;
}
