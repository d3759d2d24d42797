/** One answer: who gave it, its text as plain text (it is not ours, so never markup), and how it went. */
import { Chip } from "../lib/controls";
import { CopyButton } from "../lib/copy-code";
import { ErrorCard } from "../lib/error-card";
import { count } from "../lib/format";
import type { Side, SideName, Turn } from "./stream";

const TITLES: Record<SideName, string> = { tuned: "Tuned", base: "Base" };

/** What a side is called in the heading of its answer. */
export const titleOf = (name: SideName): string => TITLES[name] ?? `Step ${name.slice(name.lastIndexOf("@") + 1)}`;

export function Answer({ name, side, turn }: { name: SideName; side: Side; turn: Turn }) {
  const title = turn.untrained && name === "tuned" ? "Model" : titleOf(name);
  const right = side.status === "done" && turn.expected !== undefined && side.text.trim() === turn.expected.trim();
  const writing = side.status === "streaming";
  return (
    <article
      class={`chat-answer chat-answer--${name in TITLES ? name : "step"}`}
      aria-label={`${title} answer`}
      aria-busy={writing}
    >
      <header>
        <b>{title}</b>{" "}
        <span class="snb-muted" title={side.badge}>
          {side.badge}
        </span>
        {right && <Chip tone="good">✓ as {turn.meaning}</Chip>}
        {side.text && !writing && <CopyButton text={side.text} label={`Copy the ${title.toLowerCase()} answer`} />}
      </header>
      {side.reasoning && (
        <details class="chat-reasoning" open={side.text === ""}>
          <summary>Reasoning</summary>
          <p class="chat-text snb-muted">{side.reasoning}</p>
        </details>
      )}
      {side.error ? <ErrorCard error={side.error} /> : <p class="chat-text">{side.text}</p>}
      <footer class="snb-muted">{footnote(side)}</footer>
    </article>
  );
}

/** The answer of the row that was asked. */
export function Expected({ text, meaning }: { text: string; meaning: string }) {
  return (
    <article class="chat-answer chat-answer--expected" aria-label="The row's answer">
      <header>
        <b>{meaning.charAt(0).toUpperCase() + meaning.slice(1)}</b> <span class="snb-muted">the row's answer</span>
        <CopyButton text={text} label="Copy the row's answer" />
      </header>
      <p class="chat-text">{text}</p>
    </article>
  );
}

const tokens = (side: Side) => `${count(side.tokens)} token${side.tokens === 1 ? "" : "s"}`;

export function footnote(side: Side): string {
  switch (side.status) {
    case "queued":
      return "next in line";
    case "waiting":
      return side.note || "reading the prompt…";
    case "streaming":
      return `${tokens(side)}…`;
    case "failed":
      return "";
    default: {
      const speed = side.seconds && side.tokens > 1 ? `, ${(side.tokens / side.seconds).toFixed(1)} tokens/s` : "";
      const how = side.status === "stopped" ? `stopped${side.note ? ` ${side.note}` : ""}, ` : "";
      return side.tokens === 0 && side.status === "stopped" ? how.replace(/, $/, "") : `${how}${tokens(side)}${speed}`;
    }
  }
}
