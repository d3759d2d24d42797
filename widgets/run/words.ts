/** What the panel says about a status or a phase. The symbol differs with the tone, so colour never stands alone. */
import { count, duration, number, percent } from "../lib/format";
import { isActive, type RunStatus, type Status } from "./types";

export type Tone = "plain" | "accent" | "good" | "warn" | "bad";

const STATUS: Record<RunStatus, { text: string; symbol: string; tone: Tone }> = {
  queued: { text: "Queued", symbol: "○", tone: "plain" },
  running: { text: "Running", symbol: "●", tone: "accent" },
  paused: { text: "Paused", symbol: "‖", tone: "warn" },
  succeeded: { text: "Finished", symbol: "✓", tone: "good" },
  stopped: { text: "Stopped, saved", symbol: "■", tone: "good" },
  failed: { text: "Failed", symbol: "✕", tone: "bad" },
  interrupted: { text: "Interrupted", symbol: "!", tone: "warn" },
  discarded: { text: "Discarded", symbol: "–", tone: "plain" },
};

// The other phases read well as the engine names them.
const PHASES: Record<string, string> = {
  queued: "Waiting for its turn",
  sampling: "Sampling answers",
  saving: "Saving checkpoint",
};

export function phaseText(name: string | undefined): string {
  if (!name) {
    return "Starting";
  }
  return PHASES[name] ?? name.charAt(0).toUpperCase() + name.slice(1);
}

/** What a panel says that has lost its kernel: what it saw last is no claim about now. */
export function lastSeen(status: Status): { text: string; symbol: string; tone: Tone } {
  const seen = chipOf(status);
  return isActive(status.status) ? { text: `Last seen: ${seen.text.toLowerCase()}`, symbol: "?", tone: "plain" } : seen;
}

export function chipOf(status: Status): { text: string; symbol: string; tone: Tone } {
  const known = STATUS[status.status] ?? { text: status.status, symbol: "○", tone: "plain" as const };
  if (status.stopping) {
    return { text: "Stopping", symbol: "■", tone: "warn" };
  }
  return status.status === "running" ? { ...known, text: phaseText(status.phase.name) } : known;
}

/** Share of the work that is done, or null where that is not known yet. */
export function shareOf(status: Status): number | null {
  if (status.status === "succeeded") {
    return 1;
  }
  if (status.total) {
    return status.step / status.total;
  }
  const { done, total } = status.phase;
  return done !== undefined && total ? done / total : status.status === "running" ? null : 0;
}

/** The facts under the progress bar, in order; empty ones are left out. */
export function progressFacts(status: Status, live = true): string[] {
  const { phase } = status;
  const facts: string[] = [];
  if (status.total) {
    facts.push(`Step ${count(status.step)} of ${count(status.total)}`, percent(shareOf(status)));
  }
  if (status.status === "running" && phase.done !== undefined && phase.total && phase.name !== "training") {
    facts.push(`${phaseText(phase.name)} ${count(phase.done)} of ${count(phase.total)} ${phase.unit ?? ""}`.trim());
  }
  if (phase.message) {
    facts.push(phase.message);
  }
  if (status.epoch > 0) {
    facts.push(`epoch ${status.epoch.toFixed(2)}`);
  }
  if (status.elapsed > 0) {
    facts.push(`${duration(status.elapsed)} elapsed`);
  }
  if (live && status.status === "running" && !status.stopping && status.total) {
    facts.push(status.eta === null ? "estimating time left" : `about ${duration(status.eta)} left`);
  }
  if (status.attempt > 1) {
    facts.push(`attempt ${status.attempt}`);
  }
  return facts;
}

export function bestText(status: Status): string {
  return status.best ? `best eval ${number(status.best.eval_loss)} at step ${count(status.best.step)}` : "";
}
