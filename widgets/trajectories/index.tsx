/** The Trajectories panel: the episodes of a capture as a list, and each as a conversation with its tokens. */
import { useEffect, useRef } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CommandError } from "../lib/command-error";
import { Button } from "../lib/controls";
import { coverSnapshot } from "../lib/cover";
import { useCommand, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { ConversationView } from "./conversation";
import { List, Reading } from "./list";
import { Teaching } from "./teaching";
import type { Choices, Conversation, Source } from "./types";
import "./trajectories.css";

function Trajectories() {
  const source = useTraitValue<Source>("source");
  const conversation = useTraitValue<Conversation | Record<string, never>>("conversation");
  const root = useRef<HTMLDivElement>(null);
  useEffect(
    () => (root.current === null ? undefined : coverSnapshot(root.current, "ShadowNB trajectories", () => {})),
    [],
  );
  return (
    <div class="snb-stack" ref={root}>
      <Head source={source} />
      <CommandError />
      {source.stage === "none" ? (
        <p class="snb-empty snb-muted">
          No capture is chosen. Choose one above, or give one: TrajectoriesPanel(proxy).
        </p>
      ) : (
        <>
          <Reading />
          <Teaching />
          <List />
          {"id" in conversation && <ConversationView conversation={conversation as Conversation} />}
        </>
      )}
      <AsCode
        title="the same as training data"
        kinds={[
          ["python", "Python"],
          ["magic", "Magic"],
        ]}
        missing="Shown once a capture is chosen."
      />
    </div>
  );
}

function Head({ source }: { source: Source }) {
  const { captures } = useTraitValue<Choices>("choices");
  const [send] = useCommand();
  return (
    <div class="snb-row">
      <h2>Trajectories</h2>
      {source.id && <code>{source.id}</code>}
      <span class="snb-row snb-push">
        {source.id && (
          <Button small onClick={() => send("refresh")} disabled={source.stage === "reading"}>
            Read again
          </Button>
        )}
        <select
          class="snb-select trajectories-source"
          aria-label="Capture"
          value={source.id ?? ""}
          onFocus={() => send("look")}
          onChange={(event) => event.currentTarget.value && send("show", { capture: event.currentTarget.value })}
        >
          <option value="">{captures.length === 0 ? "No captures yet" : "Choose a capture"}</option>
          {captures.map(({ id, title }) => (
            <option key={id} value={id}>
              {title}
            </option>
          ))}
        </select>
      </span>
    </div>
  );
}

export default definePanel(Trajectories, { label: "Trajectories" });
