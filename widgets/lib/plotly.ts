/**
 * The page's one copy of plotly.js.
 *
 * The runtime widget offers a loader, charts ask for the library; whoever comes first waits for the other. Nothing is
 * evaluated until a chart asks. The key carries the version, so that two versions of ShadowNB can share a page.
 */
export interface Plotly {
  react(element: HTMLElement, data: object[], layout: object, config: object): Promise<unknown>;
  purge(element: HTMLElement): void;
  relayout(element: HTMLElement, update: object): Promise<unknown>;
}

type Loader = () => Promise<Plotly>;

interface Slot {
  promise: Promise<Plotly>;
  resolve: (library: Plotly) => void;
  wanted: boolean;
  loader: Loader | null;
  state: "waiting" | "loading" | "ready";
}

const KEY = Symbol.for(`shadownb.plotly@${__PLOTLY_VERSION__}`);

function slot(): Slot {
  const page = globalThis as unknown as Record<symbol, Slot | undefined>;
  let found = page[KEY];
  if (found === undefined) {
    let resolve: Slot["resolve"] = () => {};
    const promise = new Promise<Plotly>((accept) => {
      resolve = accept;
    });
    found = { promise, resolve, wanted: false, loader: null, state: "waiting" };
    page[KEY] = found;
  }
  return found;
}

function start(shared: Slot): void {
  if (!shared.wanted || shared.loader === null || shared.state !== "waiting") {
    return;
  }
  const loader = shared.loader;
  shared.state = "loading";
  loader().then(
    (library) => {
      shared.state = "ready";
      shared.resolve(library);
    },
    (error: unknown) => {
      // Stay open for the next offer, for example the one of another kernel.
      shared.state = "waiting";
      shared.loader = null;
      console.error("[shadownb] plotly.js could not be loaded:", error);
    },
  );
}

/** Resolves once the page has plotly.js; never rejects (a chart keeps its text state until then). */
export function wantPlotly(): Promise<Plotly> {
  const shared = slot();
  shared.wanted = true;
  start(shared);
  return shared.promise;
}

export function offerPlotly(loader: Loader): void {
  const shared = slot();
  shared.loader ??= loader;
  start(shared);
}
