/** The Chat panel: the tuned model and its base beside it, on the same prompt and seed. */
import { useEffect, useRef, useState } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CommandError } from "../lib/command-error";
import { Button, Chip } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { type ErrorInfo, useCommand, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { RunPicker } from "../lib/run-picker";
import { StatusLine } from "../lib/status-line";
import { Answer, Expected, titleOf } from "./answer";
import { type Asked, AskedPart } from "./asked";
import { SettingsFold, type TemplateOptions } from "./settings";
import { listen, useTurns } from "./store";
import type { Turn } from "./stream";
import { before, TriesPart } from "./tries";
import "./chat.css";

interface ModelState {
  stage: "none" | "loading" | "ready" | "failed";
  name?: string;
  run?: string;
  phase?: string;
  answering?: string;
  training?: boolean;
  can_compare?: boolean;
  template_options?: TemplateOptions;
  error?: ErrorInfo;
}

interface BaseCheck {
  stage: "none" | "loading" | "ready" | "failed";
  ok?: boolean;
  detail?: string;
  error?: ErrorInfo;
}

function Chat() {
  const model = useTraitValue<ModelState>("model_state");
  const turns = useTurns();
  return (
    <div class="snb-stack">
      <Head model={model} hasTurns={turns.length > 0} />
      {model.error && <ErrorCard error={model.error} />}
      <AskedPart />
      <Conversation turns={turns} model={model} />
      <Beside />
      <TriesPart ready={model.stage === "ready"} />
      <CommandError />
      <Composer ready={model.stage === "ready"} />
      <SettingsFold canCompare={model.can_compare ?? false} templateOptions={model.template_options ?? {}} />
      <AsCode title="asks the same in a cell" missing="Shown once there is a model." />
    </div>
  );
}

function Head({ model, hasTurns }: { model: ModelState; hasTurns: boolean }) {
  const [send] = useCommand();
  const busy = useTraitValue<boolean>("busy");
  const asked = useTraitValue<Asked>("asked");
  return (
    <div class="snb-row">
      <h2>{model.name ?? "Chat"}</h2>
      <RunPicker shown={model.run ?? ""} none={model.stage === "none" ? "Choose a run" : "No run's model"} />
      {model.stage === "ready" && <Chip tone={model.training ? "accent" : "plain"}>{model.answering}</Chip>}
      {model.stage === "ready" && model.can_compare && <BaseBadge />}
      <StatusLine hidden={model.stage !== "loading"}>{model.stage === "loading" ? model.phase : ""}</StatusLine>
      {hasTurns && (
        <span class="snb-row snb-push">
          <Button kind="quiet" small onClick={() => send("begin")} disabled={busy || asked.earlier === 0}>
            New conversation
          </Button>
          <Button kind="quiet" small onClick={() => send("clear")} disabled={busy}>
            Clear
          </Button>
        </span>
      )}
    </div>
  );
}

/** The checkpoints that answer too. */
function Beside() {
  const steps = useTraitValue<{ steps?: string[] }>("settings").steps ?? [];
  const [send] = useCommand();
  return steps.length === 0 ? null : (
    <section class="snb-row" aria-label="Checkpoints that answer too">
      <span class="snb-muted">Beside it answer</span>
      {steps.map((side) => (
        <span key={side} class="snb-row">
          <Chip>
            {titleOf(side)} of {side.slice(0, side.lastIndexOf("@"))}
          </Chip>
          <Button
            kind="quiet"
            small
            aria-label={`Take ${titleOf(side).toLowerCase()} away`}
            onClick={() => send("settings", { values: { steps: steps.filter((each) => each !== side) } })}
          >
            ×
          </Button>
        </span>
      ))}
    </section>
  );
}

function BaseBadge() {
  const check = useTraitValue<BaseCheck>("base_check");
  const [send] = useCommand();
  const again = (
    <Button kind="quiet" small onClick={() => send("check_base")}>
      {check.stage === "none" ? "Check that the base is untouched" : "Check again"}
    </Button>
  );
  if (check.stage === "loading") {
    return <Chip>Checking the base…</Chip>;
  }
  if (check.stage === "failed") {
    return (
      <>
        <Chip tone="bad">Base not checked</Chip> <span class="snb-muted">{check.error?.what}</span> {again}
      </>
    );
  }
  if (check.stage === "none") {
    return again;
  }
  return (
    <>
      <Chip tone={check.ok ? "good" : "bad"}>{check.ok ? "✓ Base untouched" : "✗ Base changed"}</Chip>
      <span class="snb-muted">{check.detail}</span>
      {again}
    </>
  );
}

function Conversation({ turns, model }: { turns: Turn[]; model: ModelState }) {
  const box = useRef<HTMLDivElement>(null);
  const follow = useRef(true);
  const onScroll = () => {
    const at = box.current;
    if (at) follow.current = at.scrollHeight - at.scrollTop - at.clientHeight < 40;
  };
  useEffect(() => {
    if (box.current && follow.current) box.current.scrollTop = box.current.scrollHeight;
  }, [turns]);
  if (turns.length === 0) {
    return (
      <p class="snb-empty snb-muted">
        {model.stage === "none"
          ? "No model yet. Train one, choose a run above, or give one: ChatPanel(model)."
          : "Ask something. After training, the base answers the same prompt with the same seed beside the tuned model."}
      </p>
    );
  }
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
    <div class="chat-log" ref={box} onScroll={onScroll} role="log" aria-label="Conversation" tabIndex={0}>
      {turns.map((turn) => (
        <TurnView key={turn.id} turn={turn} />
      ))}
    </div>
  );
}

function TurnView({ turn }: { turn: Turn }) {
  const sides = Object.keys(turn.sides);
  return (
    <div class="chat-turn">
      {turn.begins && <p class="chat-begin snb-muted">New conversation</p>}
      <div class="chat-prompt">
        {turn.row && (
          <span class="snb-muted">
            {turn.row}
            {(turn.earlier ?? 0) > 0 && `, ${before(turn.earlier ?? 0)}`}
            {turn.role === "tool" && ", a tool's result"}
          </span>
        )}
        <p class="chat-text">{turn.prompt}</p>
        {turn.seed !== null && <span class="snb-muted">seed {turn.seed}</span>}
      </div>
      <div class="chat-sides">
        {sides.map((name) => {
          const side = turn.sides[name];
          return side && <Answer key={name} name={name} side={side} turn={turn} />;
        })}
        {turn.expected !== undefined && <Expected text={turn.expected} meaning={turn.meaning ?? "expected"} />}
      </div>
    </div>
  );
}

function Composer({ ready }: { ready: boolean }) {
  const busy = useTraitValue<boolean>("busy");
  const [send] = useCommand();
  const [text, setText] = useState("");
  const [stopping, setStopping] = useState(false);
  useEffect(() => setStopping(false), [busy]);
  const stop = () => {
    setStopping(true);
    send("stop");
  };
  const submit = () => {
    if (ready && !busy && text.trim() !== "") {
      send("send", { prompt: text });
      setText("");
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    } else if (event.key === "Escape" && busy) {
      stop();
    }
  };
  return (
    <div class="chat-composer">
      <textarea
        class="snb-input"
        aria-label="Message"
        rows={2}
        placeholder={ready ? "Message (Enter sends, Shift+Enter makes a new line)" : "Waiting for a model"}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      {busy ? (
        <Button kind="danger" onClick={stop}>
          {stopping ? "Stopping" : "Stop"}
        </Button>
      ) : (
        <Button kind="primary" onClick={submit} disabled={!ready || text.trim() === ""}>
          Send
        </Button>
      )}
      <StatusLine hidden>{busy ? "The model is answering." : ""}</StatusLine>
    </div>
  );
}

export default definePanel(Chat, { label: "Chat", setup: listen });
