/** An in-memory anywidget model for unit tests: traits, change events, and what would go to the kernel. */
import type { Command, Model } from "../model";

type Handler = (...args: unknown[]) => void;

export class FakeModel {
  state: Record<string, unknown>;
  saved = 0;
  /** What was sent to the kernel in messages of their own. */
  messages: unknown[] = [];
  #handlers = new Map<string, Set<Handler>>();

  constructor(state: Record<string, unknown>) {
    this.state = { panel_id: crypto.randomUUID(), commands: [], ack: "", error: {}, runtime: null, ...state };
  }

  get(name: string): unknown {
    return this.state[name];
  }

  set(name: string, value: unknown): void {
    this.state[name] = value;
    this.#emit(name);
  }

  send(content: unknown): void {
    this.messages.push(content);
  }

  save_changes(): void {
    this.saved += 1;
  }

  on(event: string, handler: Handler): void {
    const known = this.#handlers.get(event) ?? new Set();
    known.add(handler);
    this.#handlers.set(event, known);
  }

  off(event: string, handler: Handler): void {
    this.#handlers.get(event)?.delete(handler);
  }

  /** As if the kernel had sent this. */
  receive(state: Record<string, unknown>): void {
    Object.assign(this.state, state);
    for (const name of Object.keys(state)) {
      this.#emit(name);
    }
  }

  /** As if the kernel had sent a message that is in no trait. */
  message(content: unknown): void {
    for (const handler of [...(this.#handlers.get("msg:custom") ?? [])]) {
      handler(content, []);
    }
  }

  /** As if the front end had told of something that is no message of the kernel. */
  fire(event: string): void {
    for (const handler of [...(this.#handlers.get(event) ?? [])]) {
      handler();
    }
  }

  get commands(): Command[] {
    return this.state.commands as Command[];
  }

  /** Number of handlers that are attached, over all events. */
  get listening(): number {
    return [...this.#handlers.values()].reduce((sum, set) => sum + set.size, 0);
  }

  #emit(name: string): void {
    for (const handler of [...(this.#handlers.get(`change:${name}`) ?? [])]) {
      handler();
    }
  }
}

export function asModel(fake: FakeModel): Model {
  return fake as unknown as Model;
}
