/** What the kernel sends of a memory of facts; see shadownb/panels/_fact_values.py. */

export interface Recalled {
  verbatim: boolean;
  paraphrased: number;
  of: number;
  said: string;
}

export interface FactRow {
  question: string;
  answer: string;
  source: string;
  /** Whether its own question is routed to it. */
  found: boolean;
  score: number | null;
  /** How it was last recalled; null where nobody has looked. */
  recalled: Recalled | null;
}

export interface Candidate {
  question: string;
  answer: string;
  score: number;
  words: number;
  meaning: number;
  asked: number;
  taken: boolean;
}

export interface Answered {
  question: string;
  why: string;
  abstains: boolean;
  threshold: number;
  candidates: Candidate[];
  told: string;
  alone: string;
  sources: string[];
}

export interface State {
  stage: "ready" | "working" | "failed";
  doing?: "reading" | "learning" | "removing" | "undoing" | "testing" | "asking";
  error?: import("../lib/model").ErrorInfo;
}
