/** The metrics as tiles with sparklines; the selected one as a chart with smoothing, scale and a table of its points. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Chart } from "../lib/chart";
import { Fold, rove, Segmented, Slider } from "../lib/controls";
import { count, MISSING } from "../lib/format";
import { type Curves, smooth } from "./curves";
import { figureOf, sparkline } from "./figure";
import { METRICS, type Metric, metricOf } from "./metrics";
import { isActive, type Status } from "./types";
import { bestText } from "./words";

const SPARK = { width: 96, height: 22 };
const TABLE_ROWS = 50;

export function Charts({ curves, status }: { curves: Curves; status: Status }) {
  const version = useCurveVersion(curves);
  const [selected, setSelected] = useState("loss");
  const [scale, setScale] = useState<"linear" | "log">("linear");
  const [smoothing, setSmoothing] = useState(0.6);
  const metric = metricOf(selected);
  const view = { metric, scale, smoothing };
  const empty = curves.points(metric.id).length === 0;
  return (
    <div class="run-charts">
      <Tiles curves={curves} status={status} selected={metric} onSelect={setSelected} />
      <div class="run-chart" role="tabpanel" aria-label={metric.title}>
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
            <Segmented
              label="Scale"
              value={scale}
              options={[
                ["linear", "Linear"],
                ["log", "Log"],
              ]}
              onChange={setScale}
            />
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
  selected: Metric;
  onSelect: (id: string) => void;
}

function Tiles({ curves, status, selected, onSelect }: TilesProps) {
  const row = useRef<HTMLDivElement>(null);
  return (
    <div
      class="run-tiles"
      role="tablist"
      aria-label="Metrics"
      ref={row}
      onKeyDown={(event) => rove(event, METRICS, selected.id, row.current, onSelect)}
    >
      {METRICS.map((metric) => (
        <button
          key={metric.id}
          type="button"
          role="tab"
          class={`run-tile${metric.id === "loss" ? " run-tile--big" : ""}`}
          aria-selected={metric === selected}
          tabIndex={metric === selected ? 0 : -1}
          onClick={() => onSelect(metric.id)}
        >
          <span class="run-tile-title">{metric.title}</span>
          <span class="run-tile-value">{metric.format(status.last[metric.id])}</span>
          <svg viewBox={`0 0 ${SPARK.width} ${SPARK.height}`} preserveAspectRatio="none" aria-hidden="true">
            <polyline
              points={sparkline(
                curves.points(metric.id).map(([, value]) => value),
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
  const points = curves.points(metric.id);
  const averaged = smooth(
    points.map(([, value]) => value),
    smoothing,
  );
  const evals = new Map(metric.id === "loss" ? curves.points("eval_loss") : []);
  const rows = points.map(([step, value], i) => ({ step, value, averaged: averaged[i] })).slice(-TABLE_ROWS);
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard */}
      <div class="snb-tablewrap" tabIndex={0}>
        <table class="snb-table">
          <caption class="snb-hidden">{metric.title} by step, newest first</caption>
          <thead>
            <tr>
              <th scope="col" class="is-number">
                Step
              </th>
              <th scope="col" class="is-number">
                {metric.title}
              </th>
              {smoothing > 0 && (
                <th scope="col" class="is-number">
                  Smoothed
                </th>
              )}
              {evals.size > 0 && (
                <th scope="col" class="is-number">
                  Evaluation
                </th>
              )}
            </tr>
          </thead>
          <tbody>
            {rows.toReversed().map((row) => (
              <tr key={row.step}>
                <th scope="row" class="is-number">
                  {count(row.step)}
                </th>
                <td class="is-number">{metric.format(row.value)}</td>
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
