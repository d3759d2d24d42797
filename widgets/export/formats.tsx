/** The formats of a model: one is exported, others are compared with it; what is missing here to write each. */
import { Toggle } from "../lib/controls";
import { gigabytes, MISSING } from "../lib/format";
import type { Format } from "./types";

interface FormatsProps {
  formats: Format[];
  chosen: string;
  compared: string[];
  choose: (id: string) => void;
  compare: (ids: string[]) => void;
  all: boolean;
  showAll: (all: boolean) => void;
}

export function Formats({ formats, chosen, compared, choose, compare, all, showAll }: FormatsProps) {
  const shown = formats.filter(({ id, usual }) => all || usual || id === chosen || compared.includes(id));
  return (
    <div class="snb-stack">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard */}
      <section class="snb-tablewrap snb-tablewrap--tall" aria-label="Formats" tabIndex={0}>
        <table class="snb-table">
          <thead>
            <tr>
              <th scope="col">Export</th>
              <th scope="col">Compare</th>
              <th scope="col">Format</th>
              <th scope="col">Who runs it</th>
              <th scope="col" class="is-number">
                About
              </th>
              <th scope="col">Here</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((each) => (
              <tr key={each.id} class={each.id === chosen ? "is-open" : ""}>
                <td>
                  <input
                    type="radio"
                    name="export-format"
                    aria-label={`Export ${each.name}`}
                    checked={each.id === chosen}
                    disabled={each.refused !== null}
                    onChange={() => choose(each.id)}
                  />
                </td>
                <td>
                  <input
                    type="checkbox"
                    aria-label={`Compare ${each.name}`}
                    checked={each.id !== chosen && compared.includes(each.id)}
                    disabled={each.refused !== null || each.id === chosen}
                    onChange={(event) =>
                      compare(
                        event.currentTarget.checked
                          ? [...compared, each.id]
                          : compared.filter((other) => other !== each.id),
                      )
                    }
                  />
                </td>
                <th scope="row" class="snb-nowrap">
                  {each.name}
                </th>
                <td>{each.engines || MISSING}</td>
                <td class="is-number snb-nowrap">{gigabytes(each.size === null ? null : each.size / 1e9)}</td>
                <td>
                  <Readiness format={each} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <Toggle label="All formats of GGUF" checked={all} onChange={showAll} />
    </div>
  );
}

function Readiness({ format }: { format: Format }) {
  if (format.refused !== null) {
    return (
      <span class="export-refused">
        <b>No.</b> {format.refused.what} {format.refused.fix}
      </span>
    );
  }
  if (format.fetches.length > 0) {
    return (
      <>
        Fetches {format.fetches.join(", ")} first; beforehand by <code>{format.prepare}</code>
      </>
    );
  }
  return <>Ready</>;
}
