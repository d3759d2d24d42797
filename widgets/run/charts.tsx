/** The metrics as tiles with sparklines; the selected one as a chart with smoothing, scale and a table of its points. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Chart } from "../lib/chart";
import { Fold, rove, Segmented, Slider } from "../lib/controls";
import { count, MISSING } from "../lib/format";
import { useId } from "../lib/use-id";
import { type Curves, smooth } from "./curves";
import { figureOf, fitsLog, type Scale, sparkline } from "./figure";
import { evaluationOf, headlineOf, type Metric, metricsOf } from "./metrics";
import { type ChartInfo, isActive, type Status } from "./types";
import { bestText } from "./words";

const SPARK = { width: 96, height: 22 };
const TABLE_ROWS = 50;

interface ChartsProps {
  curves: Curves;
  status: Status;
  /** What the method is watched by, beside what every run has. */
  extra: ChartInfo[];
}

export function Charts({ curves, status, extra }: ChartsProps) {
  const version = useCurveVersion(curves);
  const [picked, setSelected] = useState("");
  const selected = picked || (extra.find((chart) => chart.first)?.id ?? "loss");
  const [scale, setScale] = useState<Scale>("linear");
  const [smoothing, setSmoothing] = useState(0.6);
  const body = useId();
  const metrics = metricsOf(extra);
  const metric = metrics.find((one) => one.id === selected) ?? (metrics[0] as Metric);
  const view = { metric, scale, smoothing };
  const empty = curves.points(headlineOf(metric)).length === 0;
  return (
    <div class="run-charts">
      <Tiles curves={curves} status={status} metrics={metrics} selected={metric} body={body} onSelect={setSelected} />
      <div class="run-chart" role="tabpanel" id={body} aria-label={metric.title}>
        <div class="snb-row run-chartbar">
          <h3>{metric.title}</h3>
          {metric.id === "loss" && <span class="snb-muted">{bestText(status)}</span>}
          <span class="snb-row snb-push">
            {metric.smooth && (
              <Slider
                label="Smoothing"
                value={smoothing}
                min={0}
                max={0.98}
                step={0.02}
                format={(v) => v.toFixed(2)}
                onInput={setSmoothing}
              />
            )}
            {fitsLog(curves, metric) && (
              <Segmented
                label="Scale"
                value={scale}
                options={[
                  ["linear", "Linear"],
                  ["log", "Log"],
                ]}
                onChange={setScale}
              />
            )}
          </span>
        </div>
        {empty ? (
          <p class="run-nothing">
            {isActive(status.status) ? "The curve starts with the first training step." : "No step was recorded."}
          </p>
        ) : (
          <Chart
            label={`${metric.title} by step. The table below has the points.`}
            figure={(theme) => figureOf(curves, view, theme)}
            dataVersion={version}
            viewVersion={`${metric.id}/${scale}/${smoothing}`}
          />
        )}
        {!empty && <Points curves={curves} metric={metric} smoothing={metric.smooth ? smoothing : 0} />}
      </div>
    </div>
  );
}

function useCurveVersion(curves: Curves): number {
  const [version, setVersion] = useState(curves.version);
  useEffect(() => {
    setVersion(curves.version);
    return curves.subscribe(() => setVersion(curves.version));
  }, [curves]);
  return version;
}

interface TilesProps {
  curves: Curves;
  status: Status;
  metrics: readonly Metric[];
  selected: Metric;
  /** Id of what the tiles switch. */
  body: string;
  onSelect: (id: string) => void;
}

function Tiles({ curves, status, metrics, selected, body, onSelect }: TilesProps) {
  const row = useRef<HTMLDivElement>(null);
  return (
    <div
      class={`run-tiles${metrics.length > 5 ? " run-tiles--many" : ""}${metrics.length % 2 ? " is-odd" : ""}`}
      role="tablist"
      aria-label="Metrics"
      ref={row}
      onKeyDown={(event) => rove(event, metrics, selected.id, row.current, onSelect)}
    >
      {metrics.map((metric) => (
        <button
          key={metric.id}
          type="button"
          role="tab"
          class={`run-tile${metric.id === "loss" ? " run-tile--big" : ""}`}
          aria-selected={metric === selected}
          aria-controls={body}
          tabIndex={metric === selected ? 0 : -1}
          onClick={() => onSelect(metric.id)}
        >
          <span class="run-tile-title">{metric.title}</span>
          <span class="run-tile-value">{metric.format(status.last[headlineOf(metric)])}</span>
          <svg viewBox={`0 0 ${SPARK.width} ${SPARK.height}`} preserveAspectRatio="none" aria-hidden="true">
            <polyline
              points={sparkline(
                curves.points(headlineOf(metric)).map(([, value]) => value),
                SPARK.width,
                SPARK.height,
              )}
            />
          </svg>
        </button>
      ))}
    </div>
  );
}

function Points({ curves, metric, smoothing }: { curves: Curves; metric: Metric; smoothing: number }) {
  const [open, setOpen] = useState(false);
  return (
    <Fold summary="Table of the points" onToggle={setOpen}>
      {open && <PointTable curves={curves} metric={metric} smoothing={smoothing} />}
    </Fold>
  );
}

function PointTable({ curves, metric, smoothing }: { curves: Curves; metric: Metric; smoothing: number }) {
  const points = curves.points(headlineOf(metric));
  const others = metric.curves.slice(1).map(([name, words]) => ({ words, values: new Map(curves.points(name)) }));
  const averaged = smooth(
    points.map(([, value]) => value),
    smoothing,
  );
  const evals = new Map(curves.points(evaluationOf(metric)));
  const rows = points.map(([step, value], i) => ({ step, value, averaged: averaged[i] })).slice(-TABLE_ROWS);
  const columns = [
    metric.title,
    ...others.map((other) => capital(other.words)),
    ...(smoothing > 0 ? ["Smoothed"] : []),
    ...(evals.size > 0 ? ["Evaluation"] : []),
  ];
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard */}
      <div class="snb-tablewrap" tabIndex={0}>
        <table class="snb-table">
          <caption class="snb-hidden">{metric.title} by step, newest first</caption>
          <thead>
            <tr>
              {["Step", ...columns].map((title) => (
                <th scope="col" class="is-number" key={title}>
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.toReversed().map((row) => (
              <tr key={row.step}>
                <th scope="row" class="is-number">
                  {count(row.step)}
                </th>
                <td class="is-number">{metric.format(row.value)}</td>
                {others.map((other) => (
                  <td class="is-number" key={other.words}>
                    {metric.format(other.values.get(row.step))}
                  </td>
                ))}
                {smoothing > 0 && <td class="is-number">{metric.format(row.averaged)}</td>}
                {evals.size > 0 && (
                  <td class="is-number">{evals.has(row.step) ? metric.format(evals.get(row.step)) : MISSING}</td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {points.length > TABLE_ROWS && (
        <p class="snb-muted">
          Newest {TABLE_ROWS} of {count(points.length)} points. <code>run.to_frame()</code> has every step.
        </p>
      )}
    </>
  );
}

const capital = (words: string) => words.charAt(0).toUpperCase() + words.slice(1);
