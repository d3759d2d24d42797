/** Whether the kernel that made a panel is still behind it, as far as the front end can tell. */
import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import type { Model } from "./model";

/** `gone` never comes back: another kernel has other panels. A `lost` connection may. */
export type Life = "live" | "lost" | "gone";

interface Signal {
  connect(slot: () => void): void;
  disconnect(slot: () => void): void;
}

/** JupyterLab's and Notebook's session of the notebook; other front ends have none of it. */
interface SessionContext {
  session?: { kernel?: { id: string; status?: string; connectionStatus?: string } | null } | null;
  statusChanged?: Signal;
  kernelChanged?: Signal;
  connectionStatusChanged?: Signal;
}

interface Manager {
  get_model?(id: string): Promise<{ comm_live?: boolean } | undefined>;
  context?: { sessionContext?: SessionContext };
}

// What a session says of a kernel whose memory is gone; one that is "unknown" or "busy" has it still.
const GONE = new Set(["restarting", "autorestarting", "terminating", "dead"]);

/** Call `tell` with the life of a model now and whenever it changes; returns the undo. */
export function watchLife(model: Model, tell: (life: Life) => void): () => void {
  const manager = model.widget_manager as unknown as Manager | undefined;
  const session = manager?.context?.sessionContext;
  const first = session?.session?.kernel?.id;
  let own: { comm_live?: boolean } | undefined;
  let gone = false;
  let stopped = false;

  const check = () => {
    const kernel = session?.session?.kernel;
    // The front end's own model knows whether its line to the kernel is open; after a restart it never is again, and one
    // that was read from a saved notebook never had one.
    gone ||= own?.comm_live === false;
    gone ||= first !== undefined && kernel?.id !== first;
    gone ||= GONE.has(kernel?.status ?? "");
    if (!stopped) {
      tell(gone ? "gone" : kernel?.connectionStatus === "disconnected" ? "lost" : "live");
    }
  };
  const close = () => {
    gone = true;
    check();
  };
  const signals = [session?.statusChanged, session?.kernelChanged, session?.connectionStatusChanged];
  model.on("comm_live_update", check);
  model.on("comm:close", close);
  for (const signal of signals) {
    signal?.connect(check);
  }
  check();
  manager
    ?.get_model?.(model.get("panel_id") as string)
    .then((found) => {
      own = found;
      check();
    })
    .catch(() => {}); // the manager knows it no more; then it has told so by an event
  return () => {
    stopped = true;
    model.off("comm_live_update", check);
    model.off("comm:close", close);
    for (const signal of signals) {
      signal?.disconnect(check);
    }
  };
}

export const LifeContext = createContext<Life>("live");

/** Whether this panel still has its kernel. */
export function useLife(): Life {
  return useContext(LifeContext);
}

/** The life of a model, followed; for the root of a panel. */
export function useWatchedLife(model: Model): Life {
  const [life, setLife] = useState<Life>("live");
  useEffect(() => watchLife(model, setLife), [model]);
  return life;
}
