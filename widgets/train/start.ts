/** What the start button says. One pure function, so that the button always names the next step. */

export type Stage = "none" | "chosen" | "loading" | "ready" | "failed";

export interface StartInput {
  data: Stage;
  model: Stage;
  /** Why the chosen method can't be used here, or null. */
  blocked: string | null;
  /** Messages of fields that stand in the way, in form order. */
  problems: { title: string; message: string; name: string }[];
  /** Edits that Python has not confirmed yet. */
  pending: boolean;
  /** Whether the estimate says it fits; null while unknown. */
  fits: boolean | null;
  run: "none" | "starting" | "active" | "ended";
  /** What the run starts from. */
  from: "base" | "trained" | "first" | "checkpoint";
}

export interface StartState {
  label: string;
  /** A click starts training. */
  ready: boolean;
  /** Something is under way; the button shows it and waits. */
  busy: boolean;
  /** Where a click leads when it can't start: a section, or the name of a field. */
  goTo: { section: "data" | "model" | "method" } | { field: string } | { load: true } | null;
}

const waiting = (label: string): StartState => ({ label, ready: false, busy: true, goTo: null });
const missing = (label: string, section: "data" | "model" | "method"): StartState => ({
  label,
  ready: false,
  busy: false,
  goTo: { section },
});

export function startState(now: StartInput): StartState {
  if (now.run === "starting") return waiting("Starting");
  if (now.run === "active") return waiting("Training…");
  if (now.data === "none") return missing("Choose data", "data");
  if (now.data === "failed") return missing("Choose other data", "data");
  if (now.model === "none") return missing("Choose a model", "model");
  if (now.model === "failed") return missing("Choose another model", "model");
  if (now.model === "chosen") return { label: "Load the model", ready: false, busy: false, goTo: { load: true } };
  if (now.data === "loading") return waiting("Checking data");
  if (now.model === "loading") return waiting("Loading model");
  if (now.blocked !== null) return missing("Choose a method that fits", "method");
  const [problem] = now.problems;
  if (problem) {
    const label = problem.title ? `${problem.title} ${problem.message}` : problem.message;
    return { label, ready: false, busy: false, goTo: { field: problem.name } };
  }
  if (now.pending) return waiting("Checking options");
  const label = now.fits === false ? "Start, though it may not fit" : startLabel(now);
  return { label, ready: true, busy: false, goTo: null };
}

/** A button that trains again says from where: nothing else on it would. */
function startLabel({ run, from }: StartInput): string {
  if (from === "trained") return "Train the tuned model on";
  if (from === "checkpoint") return "Train on from the checkpoint";
  if (run !== "ended") return "Start training";
  return from === "base" ? "Train again from the base" : "Train again from the same start";
}
