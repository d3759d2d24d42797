/**
 * A plotly chart that spares the processor: it draws at most once a second while data flows in (drawing costs 30 to
 * 160 ms on the cores that train), at once when the user changed something, and never while it cannot be seen.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { type Plotly, wantPlotly } from "./plotly";
import { PALETTE, type Theme, useTheme } from "./theme";

export interface Figure {
  data: object[];
  layout: Record<string, unknown>;
}

interface ChartProps {
  label: string;
  /** Called when it is time to draw. */
  figure: (theme: Theme) => Figure;
  /** Changes with the data: a redraw may wait. */
  dataVersion: number;
  /** Changes with the user's choices: a redraw is due at once. */
  viewVersion: string;
  height?: number;
}

export const DRAW_INTERVAL_MS = 1000;

const CONFIG = { displayModeBar: false, responsive: false, doubleClick: "reset" as const, showTips: false };

export function Chart({ label, figure, dataVersion, viewVersion, height = 260 }: ChartProps) {
  const theme = useTheme();
  const host = useRef<HTMLDivElement>(null);
  const painter = useRef<Painter | null>(null);
  const [ready, setReady] = useState(false);

  useEffect(() => {
    const element = host.current;
    if (element === null) {
      return;
    }
    let gone = false;
    let own: Painter | null = null;
    wantPlotly().then((library) => {
      if (!gone) {
        own = new Painter(library, element);
        painter.current = own;
        setReady(true);
      }
    });
    return () => {
      gone = true;
      own?.dispose();
      painter.current = null;
    };
  }, []);

  const seen = useRef("");
  useEffect(() => {
    const view = `${viewVersion}/${theme}/${height}`;
    const urgent = seen.current !== view;
    seen.current = ready ? view : "";
    const family = host.current === null ? "sans-serif" : getComputedStyle(host.current).fontFamily;
    painter.current?.request(() => dressed(figure(theme), theme, height, family), urgent);
  });

  return (
    <div class="snb-chart" style={{ minHeight: `${height}px` }} data-version={dataVersion}>
      {!ready && <p class="snb-chart-wait">Loading chart</p>}
      <div ref={host} role="img" aria-label={label} />
    </div>
  );
}

/** Colours, fonts and margins that all charts share; the figure's own layout wins. */
export function dressed(figure: Figure, theme: Theme, height: number, family = "sans-serif"): Figure {
  const colors = PALETTE[theme];
  const axis = {
    gridcolor: colors.line,
    linecolor: colors.line,
    zeroline: false,
    tickfont: { color: colors.muted, size: 11 },
    title: { font: { color: colors.muted, size: 11 } },
    automargin: true,
  };
  const own = figure.layout as Record<string, Record<string, unknown> | undefined>;
  return {
    data: figure.data,
    layout: {
      height,
      margin: { l: 48, r: 12, t: 8, b: 32 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family, color: colors.text, size: 12 },
      hovermode: "x unified",
      hoverlabel: { bgcolor: colors.surface, bordercolor: colors.line, font: { color: colors.text, size: 12 } },
      dragmode: "zoom",
      showlegend: false,
      ...figure.layout,
      xaxis: { ...axis, ...own.xaxis },
      yaxis: { ...axis, ...own.yaxis },
    },
  };
}

/** Decides when to draw. */
export class Painter {
  #library: Plotly;
  #element: HTMLElement;
  #make: (() => Figure) | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #onScreen = true;
  #drawing = false;
  #disposed = false;
  #width = 0;
  #viewers: (() => void)[] = [];
  /** How often it has drawn; for tests. */
  drawn = 0;

  constructor(library: Plotly, element: HTMLElement) {
    this.#library = library;
    this.#element = element;
    const flush = () => this.#schedule(true);
    document.addEventListener("visibilitychange", flush);
    this.#viewers.push(() => document.removeEventListener("visibilitychange", flush));
    if (typeof IntersectionObserver !== "undefined") {
      const observer = new IntersectionObserver((entries) => {
        this.#onScreen = entries.some((entry) => entry.isIntersecting);
        this.#schedule(true);
      });
      observer.observe(element.parentElement ?? element);
      this.#viewers.push(() => observer.disconnect());
    }
    if (typeof ResizeObserver !== "undefined") {
      const observer = new ResizeObserver(() => this.#resize());
      observer.observe(element.parentElement ?? element);
      this.#viewers.push(() => observer.disconnect());
    }
  }

  request(make: () => Figure, urgent: boolean): void {
    this.#make = make;
    this.#schedule(urgent);
  }

  dispose(): void {
    this.#disposed = true;
    clearTimeout(this.#timer);
    for (const stop of this.#viewers) {
      stop();
    }
    this.#library.purge(this.#element);
  }

  #visible(): boolean {
    return !document.hidden && this.#onScreen;
  }

  #schedule(urgent: boolean): void {
    if (this.#make === null || this.#disposed || !this.#visible()) {
      return;
    }
    if (urgent) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      void this.#draw();
    } else if (this.#timer === undefined) {
      const wait = Math.max(0, this.#drawnAt + DRAW_INTERVAL_MS - performance.now());
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        void this.#draw();
      }, wait);
    }
  }

  async #draw(): Promise<void> {
    const make = this.#make;
    if (make === null || this.#disposed || this.#drawing || !this.#visible()) {
      return;
    }
    this.#make = null;
    this.#drawing = true;
    this.#drawnAt = performance.now();
    this.drawn += 1;
    try {
      const { data, layout } = make();
      this.#width = this.#element.clientWidth;
      await this.#library.react(this.#element, data, this.#width ? { ...layout, width: this.#width } : layout, CONFIG);
    } finally {
      this.#drawing = false;
    }
    this.#schedule(false);
  }

  #resize(): void {
    const width = this.#element.clientWidth;
    if (!this.#disposed && this.drawn > 0 && width > 0 && width !== this.#width && this.#visible()) {
      this.#width = width;
      void this.#library.relayout(this.#element, { width });
    }
  }
}
