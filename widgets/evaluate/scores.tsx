/** Scores as text and as small pictures: an interval on its line, and how it became narrower. */
import { MISSING, number } from "../lib/format";
import type { Difference, Interval, Narrowing } from "./types";

/** "62.5 %", or the number of a score that is no share. */
export function score(value: number | null, share: boolean): string {
  if (value === null) {
    return MISSING;
  }
  return share ? `${(100 * value).toFixed(1)} %` : number(value, 3);
}

export function range({ low, high }: Interval, share: boolean): string {
  if (low === null || high === null) {
    return "no interval";
  }
  const bare = (value: number) => (share ? (100 * value).toFixed(1) : number(value, 3));
  return `${bare(low)} to ${bare(high)}`;
}

/** "+12.5 points (+3.1 to +21.9)". */
export function gap(difference: Difference, share: boolean): string {
  if (difference.value === null) {
    return MISSING;
  }
  const signed = (value: number | null) => {
    if (value === null) {
      return MISSING;
    }
    const shown = share ? (100 * value).toFixed(1) : number(value, 3);
    return value >= 0 ? `+${shown}` : shown;
  };
  const unit = share ? " points" : "";
  return `${signed(difference.value)}${unit} (${signed(difference.low)} to ${signed(difference.high)})`;
}

export function chance(p: number | null): string {
  return p === null ? MISSING : p < 0.0001 ? "p < 0.0001" : `p ${Number(p.toPrecision(2))}`;
}

const WIDE = 120;

/** An interval of a share on a line from 0 to 1. The numbers stand beside it, so readers skip it. */
export function IntervalLine({ value, low, high }: Interval) {
  if (value === null || low === null || high === null) {
    return null;
  }
  return (
    <svg class="evaluate-line" viewBox={`-5 0 ${WIDE + 10} 10`} width={WIDE + 10} height="10" aria-hidden="true">
      <line x1="0" x2={WIDE} y1="5" y2="5" />
      <rect x={low * WIDE} width={Math.max(1, (high - low) * WIDE)} y="3" height="4" rx="2" />
      <circle cx={value * WIDE} cy="5" r="4" />
    </svg>
  );
}

const FUNNEL = { wide: 150, high: 36 };

/** How an interval narrowed while items were graded: a band over their number. */
export function Funnel({ points, share, label }: { points: Narrowing[string]; share: boolean; label: string }) {
  const known = points.filter((point): point is [number, number, number, number] => point[2] !== null);
  const [first, last] = [known[0], known[known.length - 1]];
  if (first === undefined || last === undefined || known.length < 2) {
    return null;
  }
  const low = share ? 0 : Math.min(...known.map((point) => point[2]));
  const high = share ? 1 : Math.max(...known.map((point) => point[3]));
  const x = (items: number) => ((items - first[0]) / (last[0] - first[0])) * FUNNEL.wide;
  const y = (value: number) => FUNNEL.high - ((value - low) / (high - low || 1)) * FUNNEL.high;
  const upper = known.map(([items, , , top]) => `${x(items)},${y(top)}`);
  const lower = known.map(([items, , bottom]) => `${x(items)},${y(bottom)}`).reverse();
  const half = (point: readonly [number, number, number, number]) => (point[3] - point[2]) / 2;
  const said = (value: number) => (share ? `${(100 * value).toFixed(1)} points` : number(value, 3));
  return (
    <svg
      class="evaluate-funnel"
      viewBox={`0 0 ${FUNNEL.wide} ${FUNNEL.high}`}
      width={FUNNEL.wide}
      height={FUNNEL.high}
      role="img"
      aria-label={`${label}: plus or minus ${said(half(first))} at ${first[0]} items, ${said(half(last))} at ${last[0]}`}
    >
      <polygon points={[...upper, ...lower].join(" ")} />
      <polyline points={known.map(([items, value]) => `${x(items)},${y(value)}`).join(" ")} />
    </svg>
  );
}
