/** Hooks over the anywidget model: traits as state, commands to the kernel, and the error the kernel answers with. */
import type { AnyModel, Host } from "@anywidget/types";
import { createContext } from "preact";
import { useCallback, useContext, useEffect, useState } from "preact/hooks";

export type Model = AnyModel;

/** What a ShadowError looks like on the wire (`to_dict`), plus the folded details. */
export interface ErrorInfo {
  code: string;
  kind?: string;
  what: string;
  why?: string;
  fix?: string;
  details?: string;
}

/** One request to the kernel. `id` makes it idempotent: Python handles each id once. */
export interface Command {
  id: string;
  kind: string;
  [option: string]: unknown;
}

export interface PanelContext {
  model: Model;
  host: Host | undefined;
}

const Context = createContext<PanelContext | null>(null);
export const PanelProvider = Context.Provider;

export function usePanel(): PanelContext {
  const context = useContext(Context);
  if (context === null) {
    throw new Error("usePanel is called outside of a panel");
  }
  return context;
}

/** The value of a trait, re-read at each change. */
export function useTraitValue<T>(name: string): T {
  const { model } = usePanel();
  const [, refresh] = useState(0);
  useEffect(() => {
    const update = () => refresh((n) => n + 1);
    model.on(`change:${name}`, update);
    update();
    return () => model.off(`change:${name}`, update);
  }, [model, name]);
  return model.get(name) as T;
}

/** A trait as `[value, set]`; `set` also saves to the kernel. */
export function useTrait<T>(name: string): [T, (value: T) => void] {
  const { model } = usePanel();
  const value = useTraitValue<T>(name);
  const set = useCallback(
    (next: T) => {
      model.set(name, next);
      model.save_changes();
    },
    [model, name],
  );
  return [value, set];
}

// The page keeps what it has sent for a while, and what the kernel has not handled up to a bound that no hand reaches.
const OUTBOX_LENGTH = 16;
const MOST_UNHANDLED = 256;

/**
 * Append a command to the outbox trait and return its id.
 *
 * The outbox is a list because the widget manager merges changes that are made while a message is under way: a single
 * "command" trait would lose the first of two quick clicks.
 */
export function sendCommand(model: Model, kind: string, options: Record<string, unknown> = {}): string {
  const id = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
  const outbox = (model.get("commands") as Command[] | undefined) ?? [];
  const unhandled = outbox.length - 1 - outbox.findIndex((command) => command.id === model.get("ack"));
  const kept = Math.min(Math.max(OUTBOX_LENGTH, unhandled + 1), MOST_UNHANDLED);
  model.set("commands", [...outbox, { ...options, id, kind }].slice(-kept));
  model.save_changes();
  return id;
}

/** Whether the kernel has handled a command. It handles them in order, so a later one's acknowledgement counts too. */
function isHandled(model: Model, id: string): boolean {
  const order = ((model.get("commands") as Command[] | undefined) ?? []).map((command) => command.id);
  const at = order.indexOf(id);
  const handled = order.indexOf(model.get("ack") as string);
  // One that is not in the outbox any more was sent long ago.
  return at < 0 || handled >= at;
}

/** `[send, waiting]`: `waiting` is the kind of this hook's last command while the kernel has not handled it, or null. */
export function useCommand(): [(kind: string, options?: Record<string, unknown>) => string, string | null] {
  const { model } = usePanel();
  const [open, setOpen] = useState<{ id: string; kind: string } | null>(null);
  useEffect(() => {
    if (open === null) {
      return;
    }
    // Remembered here: the trait holds only the newest acknowledgement, which may be of another part's command.
    const check = () => isHandled(model, open.id) && setOpen(null);
    model.on("change:ack", check);
    check();
    return () => model.off("change:ack", check);
  }, [model, open]);
  const send = useCallback(
    (kind: string, options?: Record<string, unknown>) => {
      const id = sendCommand(model, kind, options);
      setOpen({ id, kind });
      return id;
    },
    [model],
  );
  return [send, open?.kind ?? null];
}

/** The error of the last command, or null. */
export function useError(): ErrorInfo | null {
  const error = useTraitValue<ErrorInfo | Record<string, never> | null>("error");
  return error && "what" in error ? (error as ErrorInfo) : null;
}
