/** One message: plain text (it is not ours, so never markup), tool calls, results and system text folded. */
import type { ComponentChildren } from "preact";
import { Button, Chip, Fold } from "../lib/controls";
import { count, dollars, latency } from "../lib/format";
import { useCommand } from "../lib/model";
import type { CallFacts, Message } from "./types";

const FOLDED = ["system", "tool"];

export function MessageView({ message }: { message: Message }) {
  const { role, text, calls = [] } = message;
  const body = text !== "" && <Long at={message.at} part="text" text={text} length={message.length} />;
  return (
    <li class={`trajectories-message trajectories-message--${message.recorded ? "recorded" : role}`}>
      <header>
        <b>{role}</b>
        {message.name && <code>{message.name}</code>}
        {message.recorded && (
          <Chip tone={message.trained ? "good" : "warn"}>{message.trained ? "recorded" : "recorded, not trained"}</Chip>
        )}
        {message.call && <span class="snb-muted">{callWords(message.call)}</span>}
      </header>
      {message.reasoning && (
        <Fold summary="reasoning">
          <Long at={message.at} part="reasoning" text={message.reasoning} length={message.reasoning_length ?? 0} />
        </Fold>
      )}
      {body && FOLDED.includes(role) ? <Fold summary={firstLine(text)}>{body}</Fold> : body}
      {message.others && <em class="snb-muted">[{message.others.join(", ")}]</em>}
      {calls.map((call, at) => (
        <Fold key={at} summary={<CallSummary name={call.name} text={call.arguments} />}>
          <Long at={message.at} part={String(at)} text={call.arguments} length={call.length} code />
        </Fold>
      ))}
    </li>
  );
}

function CallSummary({ name, text }: { name: string; text: string }): ComponentChildren {
  return (
    <>
      calls <code>{name}</code> <span class="snb-muted">{firstLine(text, 60)}</span>
    </>
  );
}

interface LongProps {
  at: number;
  part: string;
  text: string;
  length: number;
  code?: boolean;
}

function Long({ at, part, text, length, code = false }: LongProps) {
  const [send, waiting] = useCommand();
  return (
    <>
      {code ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
        <pre class="snb-code" tabIndex={0}>
          {text}
        </pre>
      ) : (
        <p class="trajectories-text">{text}</p>
      )}
      {text.length < length && (
        <Button kind="quiet" small disabled={waiting !== null} onClick={() => send("whole", { at, part })}>
          Show all {count(length)} characters
        </Button>
      )}
    </>
  );
}

function callWords(call: CallFacts): string {
  const words = [call.model];
  if (call.tokens_in !== null || call.tokens_out !== null) {
    words.push(`${count(call.tokens_in)} in, ${count(call.tokens_out)} out`);
  }
  if (call.cost !== null) words.push(dollars(call.cost));
  if (call.seconds !== null) words.push(latency(call.seconds));
  if (call.status !== "ok") words.push(call.status.replace("_", " "));
  if (call.finish && call.finish !== "stop" && call.finish !== "tool_calls") words.push(`ended with ${call.finish}`);
  return words.filter(Boolean).join(" · ");
}

export function firstLine(text: string, longest = 90): string {
  const line = text.trim().split(/\s+/).join(" ");
  return line.length <= longest ? line : `${line.slice(0, longest - 1)}…`;
}
