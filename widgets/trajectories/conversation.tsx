/** The open episode: what is known about it, its messages with the places where other paths part, and its tokens. */
import { Fragment } from "preact";
import { useRef } from "preact/hooks";
import { Button, Chip, Fold } from "../lib/controls";
import { count, counted, dollars, latency, number } from "../lib/format";
import { onKeys, useOnce } from "../lib/keys";
import { useCommand } from "../lib/model";
import { Opened } from "../lib/opened";
import { Pager, range } from "../lib/pager";
import { Judgement } from "./judgement";
import { firstLine, MessageView } from "./message";
import { RankingView, useRanking } from "./ranking";
import { Tokens } from "./tokens";
import { type Conversation, kindWords, type Related } from "./types";

const STEP = 30;

export function ConversationView({ conversation }: { conversation: Conversation }) {
  const { id, facts, begin, total, messages, related } = conversation;
  const [send, waiting] = useCommand();
  const editor = useRef<HTMLTextAreaElement>(null);
  const ranking = useRanking(conversation.attempts, send);
  const once = useOnce(waiting !== null);
  // The episode is named: a step that is under way must not bring the verdict to one that nobody has seen.
  const score = (value: number) => once(`${id} ${value}`, () => send("score", { value, note: "", episode: id }));
  const keys = onKeys({
    g: score(1),
    b: score(0),
    u: () => send("undo"),
    j: () => send("step", { by: 1 }),
    k: () => send("step", { by: -1 }),
    e: () => editor.current?.focus(),
    ...ranking.keys,
  });
  const parents = related.filter((other) => other.relation === "parent");
  const others = related.filter((other) => other.relation !== "parent");
  const metrics = Object.entries(conversation.metrics).map(([name, value]) => `${name} ${number(value)}`);
  const known = [
    conversation.models.join(", "),
    `${counted(facts.messages, "message")}, ${counted(facts.answers, "recorded answer")}`,
    facts.tokens_in === null ? "" : `${count(facts.tokens_in)} tokens in, ${count(facts.tokens_out)} out`,
    facts.cost === null ? "" : dollars(facts.cost),
    facts.seconds === null ? "" : latency(facts.seconds),
    facts.score === null ? "" : `score ${number(facts.score)}`,
    ...metrics,
    facts.session ? `session ${facts.session}` : "",
    conversation.failed.length > 0 ? `${counted(conversation.failed.length, "failed call")} before it` : "",
  ];
  return (
    <Opened
      id={id}
      onKeyDown={keys}
      label="Open episode"
      title={facts.title || "(no text)"}
      chip={<Chip tone={facts.kind === "episode" ? "plain" : "accent"}>{kindWords(facts.kind)}</Chip>}
      onClose={() => send("shut")}
    >
      <p class="snb-muted">{known.filter(Boolean).join(" · ")}</p>
      <p class="snb-muted">
        Keys: <kbd>g</kbd> good, <kbd>b</kbd> bad, <kbd>e</kbd> a better answer, <kbd>1</kbd> to <kbd>9</kbd> an order
        of attempts, <kbd>u</kbd> undo, <kbd>j</kbd> and <kbd>k</kbd> next and previous.
      </p>
      {parents.length > 0 && <Others title="Started by" others={parents} />}
      {others.length > 0 && (
        <p class="snb-muted">
          {counted(others.length, "other path")} (branches, retries, agents), each shown where it parts from this one.
        </p>
      )}
      {conversation.tools.length > 0 && (
        <Fold summary={`${counted(conversation.tools.length, "tool")} offered`}>
          <div class="snb-stack">
            {conversation.tools.map((tool) => (
              <Fold key={tool.name} summary={<code>{tool.name}</code>}>
                <pre class="snb-code">{tool.schema}</pre>
              </Fold>
            ))}
          </div>
        </Fold>
      )}
      <Window label="Pages of messages" begin={begin} total={total} shown={messages.length} />
      <ol class="trajectories-messages" aria-label="Messages">
        {messages.map((message) => (
          <Fragment key={message.at}>
            <MessageView message={message} />
            <Parting others={others.filter((other) => other.at === message.at + 1)} />
          </Fragment>
        ))}
      </ol>
      <Window label="Pages of messages, below them" begin={begin} total={total} shown={messages.length} />
      <Judgement conversation={conversation} editor={editor} />
      <RankingView attempts={conversation.attempts} open={id} ranking={ranking} />
      <Tokens rented={conversation.rented} />
    </Opened>
  );
}

function Window({ label, begin, total, shown }: { label: string; begin: number; total: number; shown: number }) {
  const [send] = useCommand();
  if (total <= shown) {
    return null;
  }
  const go = (to: number, there: boolean) => (there ? () => send("window", { begin: to }) : null);
  return (
    <Pager
      label={label}
      back={[["Earlier messages", go(Math.max(0, begin - STEP), begin > 0)]]}
      shown={range(begin, shown, total)}
      on={[["Later messages", go(begin + shown, begin + shown < total)]]}
    />
  );
}

function Parting({ others }: { others: Related[] }) {
  const paths = others.filter((other) => other.relation === "path");
  const children = others.filter((other) => other.relation === "child");
  if (others.length === 0) {
    return null;
  }
  return (
    <li class="trajectories-parting">
      {paths.length > 0 && <Others title="Also from here" others={paths} />}
      {children.length > 0 && <Others title="Started here" others={children} />}
    </li>
  );
}

function Others({ title, others }: { title: string; others: Related[] }) {
  const [send] = useCommand();
  return (
    <div class="snb-row">
      <span class="snb-muted">{title}:</span>
      {others.map((other) => (
        <Button key={other.id} kind="quiet" small onClick={() => send("open", { episode: other.id })}>
          {kindWords(other.kind)}: {firstLine(other.relation === "path" ? other.last : other.title, 40) || "(no text)"}
        </Button>
      ))}
    </div>
  );
}
