/** The Serve panel: servers of this kernel, how clients reach them, how busy they are, and a playground over several. */
import { useEffect, useRef } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CommandError } from "../lib/command-error";
import { Progress } from "../lib/controls";
import { coverSnapshot } from "../lib/cover";
import { ErrorCard } from "../lib/error-card";
import { useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { StatusLine } from "../lib/status-line";
import { StartForm } from "./form";
import { Playground } from "./playground";
import { Server } from "./server";
import type { ServerRow, State } from "./types";
import "./serve.css";

const DOING = { starting: "Starting", stopping: "Stopping", asking: "Asking" };

function Serve() {
  const state = useTraitValue<State>("state");
  const servers = useTraitValue<ServerRow[]>("servers");
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => (root.current === null ? undefined : coverSnapshot(root.current, "ShadowNB serve", () => {})), []);
  const working = state.stage === "working";
  const doing = DOING[state.doing ?? "starting"];
  return (
    <div class="snb-stack" ref={root}>
      <h2>Serve</h2>
      <CommandError />
      {working && <Progress label={doing} value={null} />}
      <StatusLine>{working ? `${doing}…` : servers.length === 0 ? "" : `${servers.length} running.`}</StatusLine>
      {state.stage === "failed" && state.error && <ErrorCard error={state.error} />}
      {servers.length === 0 && (
        <p class="snb-empty snb-muted">
          No server runs. Started here, a model answers OpenAI's and Anthropic's clients on this machine, with a token.
        </p>
      )}
      {servers.map((server) => (
        <Server key={server.id} server={server} working={working} />
      ))}
      {servers.length > 0 && <Playground servers={servers} working={working} />}
      <StartForm working={working} />
      <AsCode
        title="the same"
        kinds={[
          ["python", "Python"],
          ["magic", "Magic"],
          ["shell", "Shell"],
        ]}
        missing="Shown once something was started here."
      />
    </div>
  );
}

export default definePanel(Serve, { label: "Serve" });
