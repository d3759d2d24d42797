/** An export to the hub: what would be sent is shown first, and only then can it be sent. */
import { useState } from "preact/hooks";
import { Button, Chip, Field, Fold, Toggle } from "../lib/controls";
import { counted, gigabytes } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import type { Pushed, State } from "./types";

const REPO = /^[\w.-]+\/[\w.-]+$/;

export function Push() {
  const pushed = useTraitValue<Pushed | Record<string, never> | undefined>("pushed") ?? {};
  const working = useTraitValue<State>("state").stage === "working";
  const [repo, setRepo] = useState("");
  const [hidden, hide] = useState(true);
  const [send, waiting] = useCommand();
  const wrong = repo !== "" && !REPO.test(repo.trim());
  const blocked = working || waiting !== null || repo.trim() === "" || wrong;
  const seen = "repo" in pushed && pushed.repo === repo.trim() && pushed.private === hidden;
  return (
    <section class="snb-stack" aria-label="Push to hub">
      <h3>Push to hub</h3>
      <div class="snb-row">
        <Field
          label="Repository"
          help="owner/name; it is made where it is not there yet."
          error={wrong ? "Give owner/name." : ""}
        >
          {(ids) => (
            <input
              {...ids}
              type="text"
              class="snb-input"
              value={repo}
              onInput={(event) => setRepo(event.currentTarget.value)}
            />
          )}
        </Field>
        <Toggle label="Private" checked={hidden} onChange={hide} />
        <Button disabled={blocked} onClick={() => send("push", { repo, private: hidden })}>
          Show what would be sent
        </Button>
        <Button
          kind="danger"
          disabled={blocked || !seen || (pushed as Pushed).sent}
          onClick={() => send("push", { repo, private: hidden, send: true })}
        >
          Send
        </Button>
      </div>
      {"repo" in pushed && <Told pushed={pushed as Pushed} />}
    </section>
  );
}

function Told({ pushed }: { pushed: Pushed }) {
  const total = pushed.files.reduce((sum, [, size]) => sum + size, 0);
  const files = `${counted(pushed.files.length, "file")}, ${gigabytes(total / 1e9)}`;
  return (
    <>
      <p role="status">
        {pushed.sent ? <Chip tone="good">Sent</Chip> : <Chip>Nothing is sent yet</Chip>}{" "}
        {pushed.sent ? (
          <a href={pushed.url} rel="noreferrer">
            {pushed.url}
          </a>
        ) : (
          `${files} would go to ${pushed.repo}, which is ${pushed.private ? "private" : "public"} where it is new.`
        )}
      </p>
      <Fold summary={`Files (${pushed.files.length})`} open={!pushed.sent}>
        <ul>
          {pushed.files.map(([name, size]) => (
            <li key={name}>
              <code>{name}</code> {gigabytes(size / 1e9)}
            </li>
          ))}
        </ul>
      </Fold>
    </>
  );
}
