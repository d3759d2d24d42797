/** The chosen runs: curves over each other, only the options that differ, results, parallel coordinates. */
import { Chart } from "../lib/chart";
import { Field, Fold, Segmented, Slider } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import { parallelFigure } from "../lib/parallel";
import { Pairs } from "./detail";
import { curvesFigure } from "./figures";
import type { Comparison, Curves } from "./types";

export function SideBySide() {
  const chosen = useTraitValue<string[]>("chosen");
  const comparison = useTraitValue<Comparison | Record<string, never>>("comparison");
  const curves = useTraitValue<Curves | Record<string, never>>("curves");
  if (chosen.length === 0 || !("ids" in comparison)) {
    return null;
  }
  const shown = comparison as Comparison;
  const heads = ["", ...shown.labels];
  return (
    <section class="snb-stack" aria-label="Chosen runs side by side">
      <h3>{shown.ids.length === 1 ? shown.ids[0] : `${shown.ids.length} runs side by side`}</h3>
      {"lines" in curves ? (
        <Overlay curves={curves as Curves} metrics={shown.metrics} />
      ) : (
        <p class="snb-muted">No step was recorded.</p>
      )}
      {shown.differences && (
        <>
          <h4>What differs</h4>
          {shown.differences.length === 0 ? (
            <p class="snb-muted">Nothing: model, data and all options are the same.</p>
          ) : (
            <Pairs label="Options that differ" heads={heads.with(0, "Option")} lines={shown.differences} />
          )}
        </>
      )}
      {shown.results && (
        <>
          <h4>Results</h4>
          <Pairs label="Results" heads={heads.with(0, "Result")} lines={shown.results} />
        </>
      )}
      {shown.parallel && shown.parallel.length > 1 && (
        <Fold summary="Parallel coordinates" open>
          <Chart
            label="Parallel coordinates of what differs and the losses. The tables above have the values."
            figure={(theme) => parallelFigure(shown, theme)}
            dataVersion={0}
            viewVersion={shown.ids.join()}
            height={260}
          />
        </Fold>
      )}
      {shown.ids.length === 1 && <p class="snb-muted">Choose another run to lay it beside this one.</p>}
    </section>
  );
}

function Overlay({ curves, metrics }: { curves: Curves; metrics: string[] }) {
  const [send] = useCommand();
  const view = { metric: curves.metric, axis: curves.axis, smoothing: curves.smoothing };
  const change = (part: Partial<typeof view>) => send("curves", { ...view, ...part });
  const points = curves.lines.reduce((sum, line) => sum + line.x.length, 0);
  return (
    <>
      <div class="snb-row">
        <Field label="Metric">
          {(ids) => (
            <select
              {...ids}
              class="snb-select"
              value={curves.metric}
              onChange={(event) => change({ metric: event.currentTarget.value })}
            >
              {metrics.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          )}
        </Field>
        <span class="snb-row snb-push">
          <Slider
            label="Smoothing"
            value={curves.smoothing}
            min={0}
            max={0.98}
            step={0.02}
            format={(value) => value.toFixed(2)}
            onInput={(smoothing) => change({ smoothing })}
          />
          <Segmented
            label="Axis"
            value={curves.axis}
            options={[
              ["step", "Steps"],
              ["tokens", "Tokens"],
              ["time", "Time"],
            ]}
            onChange={(axis) => change({ axis })}
          />
        </span>
      </div>
      {points === 0 ? (
        <p class="snb-empty snb-muted">None of these runs has values of {curves.metric}.</p>
      ) : (
        <Chart
          label={`${curves.title} of the chosen runs. The table of results has the last values.`}
          figure={(theme) => curvesFigure(curves, theme)}
          dataVersion={points}
          viewVersion={`${curves.lines.map(({ id }) => id).join()}/${curves.metric}/${curves.axis}/${curves.smoothing}`}
          height={280}
        />
      )}
    </>
  );
}
