/** The address and the token, and how clients are pointed here. The token comes as a message when it is asked for. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Button, Segmented } from "../lib/controls";
import { CopyButton, copyText } from "../lib/copy-code";
import { sendCommand, usePanel } from "../lib/model";
import type { Recording } from "./types";

const MASK = "••••••••";
const filled = (code: string, token: string) => code.replaceAll("{token}", token);

export function Address({ recording }: { recording: Recording }) {
  const forms = recording.clients ?? [];
  const [kind, setKind] = useState(forms[0]?.id ?? "");
  const form = forms.find(({ id }) => id === kind) ?? forms[0];
  const [token, show, copy, copied] = useToken(recording.id ?? "");
  if (form === undefined) {
    return null;
  }
  return (
    <section class="snb-stack capture-address" aria-label="Address and token">
      <dl class="capture-facts">
        <div>
          <dt>Base URL</dt>
          <dd>
            <code>{recording.base_url}</code>
            <CopyButton text={recording.base_url ?? ""} label="Copy the base URL" />
          </dd>
        </div>
        <div>
          <dt>Token</dt>
          <dd>
            <code>{token ?? MASK}</code>
            <Button kind="quiet" small onClick={() => show(token === null)}>
              {token === null ? "Show token" : "Hide token"}
            </Button>
            <CopyToken label="Copy the token" copy={() => copy("{token}")} copied={copied === "{token}"} />
          </dd>
        </div>
      </dl>
      <div class="snb-row">
        <Segmented
          label="How clients are pointed here"
          value={form.id}
          options={forms.map(({ id, title }) => [id, title] as const)}
          onChange={setKind}
        />
        <CopyToken
          label={`Copy ${form.title}, with the token`}
          copy={() => copy(form.code)}
          copied={copied === form.code}
        />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard */}
      <pre class="snb-code" tabIndex={0}>
        {filled(form.code, token ?? MASK)}
      </pre>
    </section>
  );
}

function CopyToken({ label, copy, copied }: { label: string; copy: () => void; copied: boolean }) {
  return (
    <Button kind="quiet" small aria-label={label} onClick={copy}>
      <span aria-live="polite">{copied ? "Copied" : "Copy"}</span>
    </Button>
  );
}

/** `[token or null, show(on), copy(form), the form copied last]`; what was not asked for here is not kept here. */
function useToken(capture: string): [string | null, (on: boolean) => void, (code: string) => void, string | null] {
  const { model } = usePanel();
  const [token, setToken] = useState<string | null>(null);
  const [copied, setCopied] = useState<string | null>(null);
  const wanted = useRef<{ show: boolean; copy: string | null }>({ show: false, copy: null });
  useEffect(() => {
    setToken(null);
    wanted.current = { show: false, copy: null };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onMessage = async (content: { kind?: string; capture?: string; token?: string }) => {
      if (content.kind !== "token" || content.capture !== capture || !content.token) {
        return;
      }
      const { show, copy } = wanted.current;
      wanted.current = { show: false, copy: null };
      if (show) {
        setToken(content.token);
      }
      if (copy !== null && (await copyText(filled(copy, content.token)))) {
        setCopied(copy);
        clearTimeout(timer);
        timer = setTimeout(() => setCopied(null), 1500);
      }
    };
    model.on("msg:custom", onMessage);
    return () => {
      clearTimeout(timer);
      model.off("msg:custom", onMessage);
    };
  }, [model, capture]);
  const show = (on: boolean) => {
    if (on) {
      wanted.current.show = true;
      sendCommand(model, "token");
    } else {
      setToken(null);
    }
  };
  const copy = (code: string) => {
    wanted.current.copy = code;
    sendCommand(model, "token");
  };
  return [token, show, copy, copied];
}
