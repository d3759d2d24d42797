/** One answer: who gave it, its text as plain text (it is not ours, so never markup), and how it went. */
import { CopyButton } from "../lib/copy-code";
import { ErrorCard } from "../lib/error-card";
import { count } from "../lib/format";
import type { Side, SideName } from "./stream";

const TITLES: Record<SideName, string> = { tuned: "Tuned", base: "Base" };

export function Answer({ name, side, untrained }: { name: SideName; side: Side; untrained?: boolean }) {
  const title = untrained ? "Model" : TITLES[name];
  const writing = side.status === "streaming";
  return (
    <article class={`chat-answer chat-answer--${name}`} aria-label={`${title} answer`} aria-busy={writing}>
      <header>
        <b>{title}</b> <span class="snb-muted">{side.badge}</span>
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
