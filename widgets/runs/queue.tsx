/** The runs that wait, device by device, in the order in which they begin; each can be moved, held and taken out. */
import { useEffect, useRef } from "preact/hooks";
import { Button, Chip } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import { StatusLine } from "../lib/status-line";
import type { DeviceQueue, Waiting } from "./types";

export function Queue() {
  const queues = useTraitValue<DeviceQueue[] | undefined>("queue") ?? [];
  return queues.length === 0 ? null : (
    <section class="snb-stack runs-queue" aria-label="Queue">
      {queues.map((queue) => (
        <OneDevice key={queue.device} queue={queue} />
      ))}
    </section>
  );
}

function OneDevice({ queue }: { queue: DeviceQueue }) {
  const [send, waiting] = useCommand();
  const list = useRef<HTMLOListElement>(null);
  // What was pressed moves with its run; the browser drops the focus of what is moved in the page.
  const pressed = useRef("");
  const order = queue.waiting.map(({ id }) => id).join();
  useEffect(() => {
    const [id, action] = pressed.current.split(" ");
    const row = list.current?.querySelector(`[data-run="${id}"]`);
    const button =
      row?.querySelector<HTMLButtonElement>(`[data-action="${action}"]:not(:disabled)`) ??
      row?.querySelector<HTMLButtonElement>("button:not(:disabled)");
    if (pressed.current !== "" && button) button.focus();
    pressed.current = "";
  }, [order]);
  const act = (action: string, run: string, place = 0, label = action) => {
    pressed.current = `${run} ${label}`;
    send("queue", { action, run, place });
  };
  const count = queue.waiting.length;
  const words = count === 0 ? "no run waits" : `${count} ${count === 1 ? "run waits" : "runs wait"}`;
  return (
    <>
      <div class="snb-row">
        <h3>Queue of {queue.device}</h3>
        <StatusLine>
          {queue.paused
            ? `Paused: ${words}, and none begins.`
            : `${words[0]?.toUpperCase()}${words.slice(1)}${queue.training ? ` behind ${queue.training}` : ""}.`}
        </StatusLine>
        <span class="snb-push">
          <Button
            small
            disabled={waiting === "queue"}
            onClick={() => send("queue", { action: queue.paused ? "resume" : "pause", device: queue.device })}
          >
            {queue.paused ? "Let runs begin" : "Pause the queue"}
          </Button>
        </span>
      </div>
      <ol ref={list}>
        {queue.waiting.map((run, at) => (
          <Row key={run.id} run={run} at={at} last={at === count - 1} act={act} />
        ))}
      </ol>
    </>
  );
}

interface RowProps {
  run: Waiting;
  at: number;
  last: boolean;
  act: (action: string, run: string, place?: number, label?: string) => void;
}

function Row({ run, at, last, act }: RowProps) {
  const button = (label: string, words: string, disabled: boolean, onClick: () => void) => (
    <Button small disabled={disabled} data-action={label} aria-label={`${words}: ${run.id}`} onClick={onClick}>
      {words}
    </Button>
  );
  return (
    <li class="snb-row" data-run={run.id}>
      <span class="runs-place">{at + 1}.</span>
      <code>{run.id}</code>
      <span class="snb-muted">
        {run.method} of {run.model}
      </span>
      {run.held && <Chip tone="warn">Held</Chip>}
      <span class="snb-row snb-push">
        {button("first", "First", at === 0, () => act("move", run.id, 0, "first"))}
        {button("up", "Up", at === 0, () => act("move", run.id, at - 1, "up"))}
        {button("down", "Down", last, () => act("move", run.id, at + 1, "down"))}
        {run.held
          ? button("release", "Go on", false, () => act("release", run.id))
          : button("hold", "Hold", false, () => act("hold", run.id))}
        {button("cancel", "Take out", false, () => act("cancel", run.id))}
      </span>
    </li>
  );
}
