/** Turns a preact component into the `{ initialize, render }` object that anywidget loads. */
import type { AnyWidget, Host } from "@anywidget/types";
import { type ComponentChildren, type ComponentType, render as mount } from "preact";
import { useErrorBoundary } from "preact/hooks";
import { DeadNote } from "./dead-note";
import { ErrorCard } from "./error-card";
import { keepFocus } from "./keep-focus";
import { LifeContext, useWatchedLife } from "./life";
import { type Model, PanelProvider } from "./model";
import { detectHost, useTheme } from "./theme";
import "./theme.css";
import "./controls.css";

/** Class of the places where a frame draws its panels. */
export const FRAME = "snb-frame";

interface PanelOptions {
  /** Accessible name of the panel's region, for example "Run". */
  label: string;
  /** Runs once a model, before any view of it exists; may return a clean-up. Keep here what all views share. */
  setup?: (model: Model) => undefined | (() => void);
  /**
   * The panel itself switches off what needs the kernel (`useLife`), so that one can still look around in the rest when the
   * kernel is gone. Otherwise everything in it is switched off then.
   */
  partlyLocal?: boolean;
}

interface RootProps extends PanelOptions {
  model: Model;
  /** Drawn inside a frame, which says for all of its panels that the kernel is gone. */
  inner: boolean;
  children: ComponentChildren;
}

function Root({ label, partlyLocal, model, inner, children }: RootProps) {
  const theme = useTheme();
  const life = useWatchedLife(model);
  const [failure] = useErrorBoundary();
  return (
    <section class="snb" data-theme={theme} data-host={detectHost()} data-life={life} aria-label={label}>
      {!inner && <DeadNote life={life} />}
      {failure === undefined ? (
        <LifeContext.Provider value={life}>
          <fieldset class="snb-life" role="presentation" disabled={!partlyLocal && life !== "live"}>
            {children}
          </fieldset>
        </LifeContext.Provider>
      ) : (
        <ErrorCard
          error={{
            code: "panel",
            what: `The ${label} panel could not be drawn.`,
            why: String(failure?.message ?? failure),
            fix: "Display it again in a new cell. The run itself is not affected.",
            details: String(failure?.stack ?? ""),
          }}
        />
      )}
    </section>
  );
}

export function definePanel(View: ComponentType, options: PanelOptions): AnyWidget {
  return {
    initialize({ model }) {
      return options.setup?.(model);
    },
    render({ model, el, host }) {
      requestRuntime(model, host);
      el.addEventListener("keydown", keepShortcutsOut);
      const letFocusGo = keepFocus(el);
      const inner = el.closest(`.${FRAME}`) !== null;
      mount(
        <PanelProvider value={{ model, host }}>
          <Root {...options} model={model} inner={inner}>
            <View />
          </Root>
        </PanelProvider>,
        el,
      );
      return () => {
        el.removeEventListener("keydown", keepShortcutsOut);
        letFocusGo();
        mount(null, el);
      };
    },
  };
}

/**
 * JupyterLab's command mode acts on plain keys of a focused button in an output: twice "d" deletes the cell with the
 * panel in it, and arrows leave a slider alone. Keys with Ctrl, Meta or Alt (save, palette) still reach it.
 */
function keepShortcutsOut(event: KeyboardEvent): void {
  if (!event.ctrlKey && !event.metaKey && !event.altKey) {
    event.stopPropagation();
  }
}

/** Front ends that create models on demand only load the runtime widget when somebody asks for it. */
function requestRuntime(model: Model, host: Host | undefined): void {
  const reference = model.get("runtime") as string | null | undefined;
  if (!reference) {
    return;
  }
  const loading = host?.getModel?.(reference) ?? model.widget_manager?.get_model(reference.replace(/^anywidget:/, ""));
  // Without it the panel stays usable: charts say that they are loading, the numbers are all there.
  loading?.catch((error: unknown) => console.warn("[shadownb] the chart runtime is not available:", error));
}
