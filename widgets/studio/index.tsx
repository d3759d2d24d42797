/** Studio: the panels as tabs of one widget, in the order of the work. Each is a widget of its own that is drawn here. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Button, rove } from "../lib/controls";
import { useLife } from "../lib/life";
import { useCommand, usePanel, useTrait, useTraitValue } from "../lib/model";
import { definePanel, FRAME } from "../lib/panel";
import { useId } from "../lib/use-id";
import { Walk } from "./walk";
import "./studio.css";

const TABS = [
  { id: "capture", title: "Capture", trait: "capture" },
  { id: "trajectories", title: "Trajectories", trait: "trajectories" },
  { id: "judge", title: "Judge", trait: "judge" },
  { id: "rewards", title: "Rewards", trait: "rewards" },
  { id: "data", title: "Data", trait: "data" },
  { id: "train", title: "Train", trait: "train" },
  { id: "sweep", title: "Sweep", trait: "sweep" },
  { id: "runs", title: "Runs", trait: "runs" },
  { id: "run", title: "Run", trait: "run_panel" },
  { id: "evaluate", title: "Evaluate", trait: "evaluate" },
  { id: "facts", title: "Facts", trait: "facts" },
  { id: "export", title: "Export", trait: "export" },
  { id: "serve", title: "Serve", trait: "serve" },
  { id: "chat", title: "Chat", trait: "chat" },
] as const;

const EMPTY: Partial<Record<string, string>> = {
  run_panel: "No run yet. Start one in the Train tab: its curves, progress and samples are shown here.",
};

/** The tab of a panel that another package brings; `failure` says why there is none. */
interface Added {
  id: string;
  title: string;
  panel: string | null;
  failure: string;
}

function Studio() {
  const [selected, select] = useTrait<string>("tab");
  const added = useTraitValue<Added[] | undefined>("added") ?? [];
  const tabs = [...TABS, ...added];
  const base = useId();
  const row = useRef<HTMLDivElement>(null);
  const root = useRef<HTMLDivElement>(null);
  const before = useRef(selected);
  useEffect(() => {
    // A start at the foot of a long form opens a short tab: without this the page shows what stands below Studio.
    if (before.current !== selected && (root.current?.getBoundingClientRect().top ?? 0) < 0) {
      root.current?.scrollIntoView({ block: "start" });
    }
    // What had the focus is hidden now, where a panel opened another tab: the browser would begin again at the page's top.
    if (before.current !== selected && lostFocus(root.current)) {
      row.current?.querySelector<HTMLElement>('[aria-selected="true"]')?.focus({ preventScroll: true });
    }
    before.current = selected;
  }, [selected]);
  return (
    <div class="studio" ref={root}>
      <GoingOn />
      <Walk open={select} />
      <div
        class="snb-tabrow"
        role="tablist"
        aria-label="Studio"
        ref={row}
        onKeyDown={(event) => rove(event, tabs, selected, row.current, select)}
      >
        {tabs.map(({ id, title }) => (
          <button
            key={id}
            type="button"
            role="tab"
            id={`${base}-${id}`}
            class="snb-tab"
            aria-selected={id === selected}
            aria-controls={`${base}-${id}-panel`}
            tabIndex={id === selected ? 0 : -1}
            onClick={() => select(id)}
          >
            {title}
          </button>
        ))}
      </div>
      {tabs.map((tab) => (
        <div
          key={tab.id}
          role="tabpanel"
          id={`${base}-${tab.id}-panel`}
          aria-labelledby={`${base}-${tab.id}`}
          hidden={tab.id !== selected}
          class={`studio-panel ${FRAME}`}
        >
          {"trait" in tab ? (
            <Own {...tab} wanted={tab.id === selected} />
          ) : tab.panel === null ? (
            <p class="snb-field-error" role="alert">
              This panel comes with a package and can't be shown: {tab.failure}
            </p>
          ) : (
            <Child reference={tab.panel} name={`studio.panels["${tab.id}"]`} empty="" wanted={tab.id === selected} />
          )}
        </div>
      ))}
    </div>
  );
}

function lostFocus(root: HTMLElement | null): boolean {
  const active = document.activeElement;
  return (
    active === null ||
    active === document.body ||
    (root?.contains(active) === true && active.closest("[hidden]") !== null)
  );
}

interface Offer {
  id: string;
  text: string;
}

/** Runs that train in a worker process or in another kernel, such as those from before a restart. */
function GoingOn() {
  const offers = useTraitValue<Offer[] | undefined>("going_on") ?? [];
  const [send, waiting] = useCommand();
  const life = useLife();
  if (offers.length === 0 || life !== "live") {
    return null;
  }
  return (
    <ul class="studio-offers" aria-label="Runs that go on">
      {offers.map(({ id, text }) => (
        <li key={id} class="snb-row">
          <span>
            Run <code>{id}</code>: {text}.
          </span>
          <Button small disabled={waiting === "show_run"} onClick={() => send("show_run", { run: id })}>
            Show it
          </Button>
        </li>
      ))}
    </ul>
  );
}

type OwnProps = (typeof TABS)[number] & { wanted: boolean };

function Own({ trait, title, wanted }: OwnProps) {
  const reference = useTraitValue<string | null>(trait);
  return (
    <Child
      reference={reference}
      name={`studio.${trait}`}
      empty={EMPTY[trait] ?? `No ${title} panel.`}
      wanted={wanted}
    />
  );
}

interface ChildProps {
  reference: string | null;
  /** What it is called in a cell. */
  name: string;
  empty: string;
  wanted: boolean;
}

/** Draws a child widget when its tab is first opened, and keeps it: what was typed there stays. */
function Child({ reference, name, empty, wanted }: ChildProps) {
  const { host } = usePanel();
  const place = useRef<HTMLDivElement>(null);
  const [opened, setOpened] = useState(wanted);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    if (wanted) setOpened(true);
  }, [wanted]);
  useEffect(() => {
    if (!opened || !reference || place.current === null) {
      return;
    }
    const gone = new AbortController();
    const el = document.createElement("div");
    place.current.replaceChildren(el);
    setFailure("");
    draw(reference, el, gone.signal).catch((error: unknown) => setFailure(String(error)));
    return () => gone.abort();
  }, [opened, reference]);

  async function draw(wantedReference: string, el: HTMLElement, signal: AbortSignal): Promise<void> {
    if (typeof host?.getWidget !== "function") {
      throw new Error("this notebook's anywidget is older than 0.11");
    }
    const child = await host.getWidget(wantedReference);
    if (!signal.aborted) {
      await child.render({ el, signal });
    }
  }
  return (
    <>
      {failure && (
        <p class="snb-field-error" role="alert">
          This panel can't be shown inside Studio: {failure}. Display {name} in a cell of its own.
        </p>
      )}
      {!reference && <p class="studio-empty snb-empty snb-muted">{empty}</p>}
      <div ref={place} />
    </>
  );
}

export default definePanel(Studio, { label: "Studio", partlyLocal: true });
