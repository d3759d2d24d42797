/** The traits of the Trajectories panel. */
import type { ErrorInfo } from "../lib/model";
import type { Token } from "../lib/token-text";

export interface Source {
  stage: "none" | "reading" | "ready" | "failed";
  id?: string | null;
  read?: number;
  calls?: number;
  unanswered?: number;
  unread?: number;
  live?: boolean;
  error?: ErrorInfo;
}

export interface Choice {
  id: string;
  title: string;
}

export interface Choices {
  captures: Choice[];
  models: Choice[];
}

export interface Query {
  search: string;
  kind: string;
  model: string;
  tool: string;
  min_messages: number;
  sort: string;
  offset: number;
}

export interface Facets {
  episodes?: number;
  kinds?: Record<string, number>;
  scored?: boolean;
  models?: string[];
  tools?: string[];
}

export interface Row {
  id: number;
  kind: string;
  session: string | null;
  messages: number;
  answers: number;
  tool_calls: number;
  tools: string[];
  tokens_in: number | null;
  tokens_out: number | null;
  cost: number | null;
  score: number | null;
  started_at: number | null;
  seconds: number | null;
  whole: number;
  title: string;
  last: string;
}

export interface Page {
  rows?: Row[];
  total?: number;
  size?: number;
  /** In how many of the newest calls with the words of a search episodes are looked for; 0 for all of them. */
  searched?: number;
}

export interface CallFacts {
  id: string;
  model: string | null;
  status: string;
  finish: string | null;
  tokens_in: number | null;
  tokens_out: number | null;
  cost: number | null;
  seconds: number | null;
}

export interface Message {
  at: number;
  role: string;
  name?: string;
  text: string;
  length: number;
  reasoning?: string;
  reasoning_length?: number;
  calls?: { name: string; arguments: string; length: number }[];
  others?: string[];
  recorded: boolean;
  trained: boolean;
  call?: CallFacts;
}

export interface Related {
  id: number;
  kind: string;
  relation: "path" | "child" | "parent";
  at: number;
  messages: number;
  title: string;
  last: string;
  whole: number;
}

export interface Conversation {
  id: number;
  facts: {
    kind: string;
    session: string | null;
    cost: number | null;
    tokens_in: number | null;
    tokens_out: number | null;
    seconds: number | null;
    messages: number;
    answers: number;
    whole: number;
    score: number | null;
    title: string;
  };
  models: string[];
  /** Models of providers, whose terms may restrict training on their answers. */
  rented: string[];
  metrics: Record<string, number>;
  failed: string[];
  /** What people and programs said of it. */
  notes: Note[];
  tools: { name: string; schema: string }[];
  total: number;
  begin: number;
  messages: Message[];
  related: Related[];
  /** The last answer in full, and what somebody wrote in its place. */
  answer: string;
  correction: string;
  /** Attempts at the same task, this one among them; empty where there is no other. */
  attempts: Attempt[];
}

export interface Attempt {
  id: number;
  last: string;
  score: number | null;
  rank: number | null;
}

export interface Clicks {
  rated: number;
  corrected: number;
  ranked: number;
  /** Whether a click of this panel can be taken back. */
  undo: boolean;
}

export interface Handed {
  what: string;
  method: string;
  rows: number;
  taken: boolean;
}

export interface Note {
  name: string;
  value: number | null;
  note: string;
  at: number;
}

export interface Inspection {
  stage: "none" | "loading" | "ready" | "failed";
  tokens?: Token[];
  begin?: number;
  total?: number;
  summary?: string;
  template?: string;
  error?: ErrorInfo;
}

/** The kinds of `metadata["kind"]`, in words. */
export const KINDS: Record<string, string> = {
  episode: "episode",
  regenerate: "regenerated",
  retry: "retry",
  branch: "branch",
  choice: "other choice",
  subagent: "subagent",
  rewritten: "rewritten history",
  handoff: "handoff",
  summary: "summary",
};

export const kindWords = (kind: string): string => KINDS[kind] ?? kind;
