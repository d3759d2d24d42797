/** A running server: its address, its figures, and code for clients. The token comes as a message when it is asked for. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Button, Fold, Segmented } from "../lib/controls";
import { CopyButton, copyText } from "../lib/copy-code";
import { useCommand, usePanel } from "../lib/model";
import type { ServerRow, Stats } from "./types";

const MASK = "••••••••••••••••";
const CLIENTS: Record<string, string> = {
  openai: "openai",
  curl: "curl",
  anthropic: "anthropic",
  agents: "Agents SDK",
  env: "Environment",
};

const seconds = (value: { p50: number; p95: number } | null) =>
  value === null ? "--" : `${value.p50.toFixed(2)} s (95 %: ${value.p95.toFixed(2)} s)`;

function Figures({ stats }: { stats: Stats }) {
  const figures: [string, string][] = [
    ["Requests", `${stats.requests_per_s.toFixed(2)}/s`],
    ["Tokens", `${stats.tokens_per_s.toFixed(1)}/s`],
    ["Latency", seconds(stats.latency_s)],
    ["First piece", seconds(stats.first_piece_s)],
    ["Now", `${stats.active ?? 0} answered, ${stats.waiting ?? 0} waiting`],
    ["Failed", `${stats.failed} of ${stats.requests}`],
  ];
  return (
    <dl class="serve-figures" aria-label="Figures of the last minute">
      {figures.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Ask for the token and use it once: a trait would put it into the saved notebook. */
function useToken(server: string): (use: (token: string) => void) => void {
  const { model } = usePanel();
  const [send] = useCommand();
  const wanted = useRef<((token: string) => void) | null>(null);
  useEffect(() => {
    const onMessage = (content: { kind?: string; server?: string; token?: string }) => {
      if (content.kind !== "token" || content.server !== server || !content.token) return;
      wanted.current?.(content.token);
      wanted.current = null;
    };
    model.on("msg:custom", onMessage);
    return () => model.off("msg:custom", onMessage);
  }, [model, server]);
  return (use) => {
    wanted.current = use;
    send("token", { server });
  };
}

export function Server({ server, working }: { server: ServerRow; working: boolean }) {
  const [send, waiting] = useCommand();
  const withToken = useToken(server.id);
  const [client, choose] = useState("openai");
  const [copied, setCopied] = useState(false);
  const code = server.clients.find((each) => each.id === client)?.code ?? "";
  return (
    <section class="serve-server" aria-label={`Server ${server.id}`}>
      <div class="snb-row">
        <h3>{server.models.join(", ")}</h3>
        <span class="snb-muted" title={server.reason}>
          {server.engine}: {server.reason}
        </span>
        <Button
          kind="danger"
          small
          disabled={working || waiting !== null}
          aria-label={`Stop ${server.id}`}
          onClick={() => send("stop", { server: server.id })}
        >
          Stop
        </Button>
      </div>
      {server.health !== "" && <p role="alert">{server.health}</p>}
      <div class="snb-row">
        <code class="serve-url">{server.url}</code>
        <CopyButton text={server.url} label="Copy the address" />
      </div>
      {server.proxied !== "" && (
        <p class="snb-muted">
          In a browser, through the Jupyter server: <code>{server.proxied}</code>
        </p>
      )}
      {server.advice !== "" && <p class="snb-muted">{server.advice}</p>}
      <Figures stats={server.stats} />
      <Fold summary="Clients">
        <div class="snb-stack">
          <div class="snb-row">
            <Segmented
              label="Client"
              value={client}
              options={server.clients.map((each) => [each.id, CLIENTS[each.id] ?? each.id] as const)}
              onChange={choose}
            />
            <Button
              small
              onClick={() => withToken(async (token) => setCopied(await copyText(code.replaceAll("{token}", token))))}
            >
              <span aria-live="polite">{copied ? "Copied, with the token" : "Copy, with the token"}</span>
            </Button>
          </div>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard */}
          <pre class="snb-code" tabIndex={0}>
            {code.replaceAll("{token}", MASK)}
          </pre>
        </div>
      </Fold>
    </section>
  );
}
