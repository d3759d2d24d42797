/** Problems by languages: a square an item, green where it is right; one that another model did otherwise has a frame. */
import { useRef, useState } from "preact/hooks";
import { count } from "../lib/format";
import type { Grid, Square } from "./types";

interface SquaresProps {
  grid: Grid;
  shown: string;
  onOpen: (item: string) => void;
}

const isChanged = (square: Square) => square.score !== null && square.before !== null && square.score !== square.before;

function belongs(line: Grid["lines"][number], shown: string): boolean {
  const known = line.squares.filter((square): square is Square => square !== null && square.score !== null);
  if (shown === "changed") {
    return known.some(isChanged);
  }
  return shown === "all" || new Set(known.map(({ score }) => score)).size > 1;
}

export function Squares({ grid, shown, onOpen }: SquaresProps) {
  const lines = grid.lines.filter((line) => belongs(line, shown));
  const table = useRef<HTMLTableElement>(null);
  const [at, setAt] = useState<[number, number]>([0, 0]); // where the tab key stops
  if (lines.length === 0) {
    return <p class="snb-empty snb-muted">No problem of {grid.suite} is like this.</p>;
  }
  const move = (event: KeyboardEvent, line: number, part: number) => {
    const steps: Record<string, [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const step = steps[event.key];
    if (step === undefined) {
      return;
    }
    event.preventDefault();
    for (let [y, x] = [line + step[0], part + step[1]]; lines[y] && x >= 0 && x < grid.parts.length; ) {
      const next = table.current?.querySelector<HTMLButtonElement>(`[data-at="${y}-${x}"]`);
      if (next) {
        setAt([y, x]);
        next.focus();
        return;
      }
      [y, x] = [y + step[0], x + step[1]]; // over what is not in this language
    }
  };
  const first = lines[at[0]]?.squares[at[1]] ? at : [0, lines[0]?.squares.findIndex((square) => square !== null) ?? 0];
  return (
    <div class="snb-tablewrap evaluate-squares">
      <table ref={table} aria-label={`${grid.side}: ${count(lines.length)} problems by language`}>
        <thead>
          <tr>
            <th scope="col">Problem</th>
            {grid.parts.map((part) => (
              <th key={part} scope="col">
                {part}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {lines.map(({ problem, squares }, y) => (
            <tr key={problem}>
              <th scope="row">{problem}</th>
              {squares.map((square, x) => (
                <td key={grid.parts[x]}>
                  {square && (
                    <button
                      type="button"
                      class={`evaluate-square is-${kind(square)}${isChanged(square) ? " is-changed" : ""}`}
                      data-at={`${y}-${x}`}
                      tabIndex={y === first[0] && x === first[1] ? 0 : -1}
                      title={`${square.id}: ${words(square)}`}
                      aria-label={`${square.id}: ${words(square)}`}
                      onKeyDown={(event) => move(event, y, x)}
                      onFocus={() => setAt([y, x])}
                      onClick={() => onOpen(square.id)}
                    >
                      {SIGNS[kind(square)]}
                    </button>
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

// A sign beside the colour, for whoever does not tell colours apart.
const SIGNS = { right: "✓", wrong: "✗", some: "◐", none: "–" } as const;

function kind({ score }: Square): keyof typeof SIGNS {
  return score === null ? "none" : score >= 1 ? "right" : score <= 0 ? "wrong" : "some";
}

function words(square: Square): string {
  const now = said(square.score);
  return isChanged(square) ? `${now}, was ${said(square.before)}` : now;
}

function said(score: number | null): string {
  return score === null ? "no verdict" : score >= 1 ? "right" : score <= 0 ? "wrong" : `${Math.round(100 * score)} %`;
}
