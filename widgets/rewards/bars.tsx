/** Where the scores lie: a strip of bars each for right answers, wrong ones and hacks, over one axis. */
import { number } from "../lib/format";
import type { Histogram } from "./types";

const STRIPS = [
  ["good", "Right answers"],
  ["bad", "Wrong answers"],
  ["hacks", "Hacks"],
] as const;
const WIDTH = 600;
const HEIGHT = 44;

export function Bars({ histogram, median }: { histogram: Histogram; median: number | null }) {
  const low = histogram.edges[0] ?? 0;
  const high = histogram.edges[histogram.edges.length - 1] ?? 1;
  const place = (value: number) => ((value - low) / (high - low)) * WIDTH;
  return (
    <section class="rewards-bars" aria-label="Scores">
      {STRIPS.map(([strip, title]) => {
        const counts = histogram[strip];
        const most = Math.max(1, ...counts);
        const wide = WIDTH / Math.max(1, counts.length);
        return (
          <div key={strip} class="rewards-strip">
            <span>{title}</span>
            <svg
              viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
              preserveAspectRatio="none"
              role="img"
              aria-label={said(title, strip, histogram)}
            >
              <line class="rewards-axis" x1="0" x2={WIDTH} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
              {counts.map((count, at) =>
                count === 0 ? null : (
                  <rect
                    key={at}
                    class={`rewards-bar--${strip}`}
                    x={at * wide + 1}
                    width={wide - 2}
                    y={HEIGHT - Math.max(3, (count / most) * (HEIGHT - 2))}
                    height={Math.max(3, (count / most) * (HEIGHT - 2))}
                  />
                ),
              )}
              {median !== null && (
                <line class="rewards-median" x1={place(median)} x2={place(median)} y1="0" y2={HEIGHT} />
              )}
            </svg>
          </div>
        );
      })}
      <div class="rewards-scale snb-muted">
        <span>{number(low, 3)}</span>
        <span>score; dashed: the median right answer</span>
        <span>{number(high, 3)}</span>
      </div>
    </section>
  );
}

function said(title: string, strip: (typeof STRIPS)[number][0], { edges, ...counts }: Histogram): string {
  const parts = counts[strip].flatMap((count, at) =>
    count === 0 ? [] : [`${count} from ${number(edges[at], 2)} to ${number(edges[at + 1], 2)}`],
  );
  return `${title}: ${parts.join(", ") || "no scores"}`;
}
