/** One conversation a model, shared by all its views: the `turns` trait, grown by each `delta`. */
import { useEffect, useState } from "preact/hooks";
import { type Model, usePanel } from "../lib/model";
import { append, type Delta, type Turn } from "./stream";

interface Store {
  turns: Turn[];
  views: Set<() => void>;
}

// Not written back to the model: the next command would send it to the kernel, which knows better. Found by the panel's
// id, because each hook of a widget gets a model object of its own.
const stores = new Map<string, Store>();

function storeOf(model: Model): Store {
  const id = model.get("panel_id") as string;
  let store = stores.get(id);
  if (store === undefined) {
    store = { turns: (model.get("turns") as Turn[] | undefined) ?? [], views: new Set() };
    stores.set(id, store);
  }
  return store;
}

/** Listen to the kernel; returns the clean-up. */
export function listen(model: Model): () => void {
  const store = storeOf(model);
  const change = (turns: Turn[]) => {
    store.turns = turns;
    for (const view of store.views) view();
  };
  const onTurns = () => change(model.get("turns") as Turn[]);
  const onDelta = () => {
    const grown = append(store.turns, model.get("delta") as Delta);
    if (grown !== null && grown !== store.turns) change(grown);
  };
  model.on("change:turns", onTurns);
  model.on("change:delta", onDelta);
  return () => {
    model.off("change:turns", onTurns);
    model.off("change:delta", onDelta);
    stores.delete(model.get("panel_id") as string);
  };
}

export function useTurns(): Turn[] {
  const { model } = usePanel();
  const [, refresh] = useState(0);
  useEffect(() => {
    const { views } = storeOf(model);
    const view = () => refresh((n) => n + 1);
    views.add(view);
    view();
    return () => {
      views.delete(view);
    };
  }, [model]);
  return storeOf(model).turns;
}
