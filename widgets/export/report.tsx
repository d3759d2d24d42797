/** What was exported: where it lies, how good each file is, which one to take and why. */
import { Chart, type Figure } from "../lib/chart";
import { Chip, Fold } from "../lib/controls";
import { CopyButton } from "../lib/copy-code";
import { gigabytes } from "../lib/format";
import { useTraitValue } from "../lib/model";
import { PALETTE, type Theme } from "../lib/theme";
import { Push } from "./push";
import type { Report as Told } from "./types";

const SMALLEST = 1e-7; // a file that says the same to the last bit has a place on the logarithmic axis, too

export function Report() {
  const report = useTraitValue<Told | Record<string, never>>("report");
  if (!("path" in report)) {
    return null;
  }
  const told = report as Told;
  return (
    <section class="snb-stack export-report" aria-label="Report">
      <h3>
        {told.format}, {gigabytes(told.size / 1e9)}
      </h3>
      <p class="snb-row">
        <code class="export-path">{told.path}</code>
        <CopyButton text={told.path} label="Copy the folder's path" />
      </p>
      {told.recommendation && (
        <p class="export-advice">
          {told.chosen && <Chip tone="good">Take {told.chosen}</Chip>} {told.recommendation}
        </p>
      )}
      {told.rows.length > 0 && <Table told={told} />}
      {told.points.length > 1 && (
        <Chart
          label="KL to the model against size of each file. The table above has the values."
          figure={(theme) => qualityFigure(told, theme)}
          dataVersion={0}
          viewVersion={`${told.path}/${told.points.map(({ name, kl }) => `${name}${kl}`).join()}`}
          height={260}
        />
      )}
      {told.reference && <p class="snb-muted">Measured against {told.reference}.</p>}
      {told.notes.map((note) => (
        <p key={note} class="snb-muted">
          {note}
        </p>
      ))}
      <Fold summary={`Files (${told.files.length})`}>
        <ul>
          {told.files.map((file) => (
            <li key={file}>
              <code>{file}</code>
            </li>
          ))}
        </ul>
      </Fold>
      <Push />
    </section>
  );
}

function Table({ told }: { told: Told }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
    <section class="snb-tablewrap" aria-label="What was measured" tabIndex={0}>
      <table class="snb-table">
        <thead>
          <tr>
            {told.heads.map((head, at) => (
              <th key={head} scope="col" class={at === 0 ? "" : "is-number"}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {told.rows.map((row) => (
            <tr key={row[0]} class={row[0] === told.chosen ? "is-open" : ""}>
              <th scope="row" class="snb-nowrap">
                {row[0]}
              </th>
              {row.slice(1).map((text, at) => (
                <td key={told.heads[at + 1]} class="is-number snb-nowrap">
                  {text || "--"}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export function qualityFigure({ points, chosen }: Told, theme: Theme): Figure {
  const colors = PALETTE[theme];
  const title = (text: string) => ({ title: { text, font: { color: colors.muted, size: 11 }, standoff: 6 } });
  return {
    data: [
      {
        type: "scatter",
        mode: "markers+text",
        x: points.map(({ size }) => size / 1e6),
        y: points.map(({ kl }) => Math.max(kl, SMALLEST)),
        text: points.map(({ name }) => name),
        textposition: "top center",
        cliponaxis: false,
        marker: {
          size: points.map(({ name }) => (name === chosen ? 13 : 9)),
          symbol: points.map(({ name }) => (name === chosen ? "diamond" : "circle")),
          color: points.map(({ name }) => (name === chosen ? colors.good : colors.accent)),
        },
        hovertemplate: "%{text}: %{x:,.0f} MB, KL %{y:.3~g}<extra></extra>",
      },
    ],
    layout: {
      hovermode: "closest",
      margin: { l: 60, r: 24, t: 24, b: 40 },
      xaxis: { ...title("size in MB"), rangemode: "tozero" },
      yaxis: { ...title("KL to the model, nats a token"), type: "log", exponentformat: "power", dtick: 1 },
    },
  };
}
