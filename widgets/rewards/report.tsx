/** What the lab has found: the verdict, where the scores lie, and the texts behind them. */
import { useState } from "preact/hooks";
import { Chip, Tabs } from "../lib/controls";
import { counted, latency, number, percent } from "../lib/format";
import { StatusLine } from "../lib/status-line";
import { Bars } from "./bars";
import type { Fooled, Found, Scored } from "./types";

export function Report({ found }: { found: Found }) {
  const [tab, select] = useState("fooled");
  const sound = found.findings.length === 0;
  const tried = Object.values(found.hacks).filter((mean) => mean !== null).length;
  return (
    <>
      <section class={`rewards-verdict ${sound ? "is-sound" : "is-fooled"}`} aria-label="Verdict">
        <StatusLine>
          <strong>{sound ? "Nothing found" : counted(found.findings.length, "finding")}</strong>
          {sound && `: none of ${tried} kinds of hacks reaches the median right answer.`}
        </StatusLine>
        {!sound && (
          <ul>
            {found.findings.map((finding) => (
              <li key={finding}>{finding}</li>
            ))}
          </ul>
        )}
        <dl class="rewards-figures">
          <Figure name="Right above wrong" value={percent(found.separation)} />
          <Figure name="Median right answer" value={number(found.median_good, 3)} />
          <Figure name="Right answers" value={String(found.good.length)} />
          <Figure name="Wrong answers" value={String(found.bad.length)} />
          <Figure name="Time an answer" value={found.seconds < 0.001 ? "under 1 ms" : latency(found.seconds)} />
        </dl>
      </section>
      <Bars histogram={found.histogram} median={found.median_good} />
      <Tabs
        label="Answers"
        selected={tab}
        onSelect={select}
        tabs={[
          { id: "fooled", title: "What fools it", count: found.fooled.length, body: () => <Hacks found={found} /> },
          {
            id: "good",
            title: "Right answers",
            count: found.good.length,
            body: () => <Answers answers={found.good} />,
          },
          {
            id: "bad",
            title: "Wrong answers",
            count: found.bad.length,
            body: () => <Answers answers={found.bad} high />,
          },
        ]}
      />
    </>
  );
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Hacks({ found }: { found: Found }) {
  const fooled = new Set(found.fooled.map(({ hack }) => hack));
  const harmless = Object.entries(found.hacks).filter(([hack, mean]) => mean !== null && !fooled.has(hack));
  return (
    <div class="snb-stack">
      {found.fooled.map((each) => (
        <Hack key={each.hack} each={each} />
      ))}
      {harmless.length > 0 && (
        <p class="snb-muted">Harmless: {harmless.map(([hack, mean]) => `${hack} (${number(mean, 2)})`).join(", ")}.</p>
      )}
    </div>
  );
}

function Hack({ each }: { each: Fooled }) {
  return (
    <article class="rewards-hack">
      <div class="snb-row">
        <h3>{each.hack}</h3>
        <Chip tone={each.close ? "warn" : "bad"}>
          {number(each.best.value, 3)}
          {each.close ? ", nearly" : ""}
        </Chip>
        <span class="snb-muted">
          {each.fooled} of {counted(each.tried, "text")}
        </span>
      </div>
      <Text label="Text" text={each.best.text} />
      {each.best.prompt && <Text label="Asked" text={each.best.prompt} />}
      {each.best.expected && <Text label="Right" text={each.best.expected} />}
      {each.best.reason && <p class="snb-muted">The scorer says: {each.best.reason}</p>}
    </article>
  );
}

function Text({ label, text }: { label: string; text: string }) {
  return (
    <div class="rewards-text">
      <span class="snb-muted">{label}</span>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long text is scrolled by keyboard */}
      <pre tabIndex={0}>{text === "" ? "(empty)" : text}</pre>
    </div>
  );
}

/** The suspicious end first: right answers with the lowest score, wrong ones with the highest. */
function Answers({ answers, high = false }: { answers: Scored[]; high?: boolean }) {
  const worth = ({ value }: Scored) => value ?? Number.NEGATIVE_INFINITY;
  const sorted = [...answers].sort((a, b) => (high ? worth(b) - worth(a) : worth(a) - worth(b)));
  return (
    <div class="snb-tablewrap rewards-answers">
      <table class="snb-table">
        <thead>
          <tr>
            <th scope="col">Score</th>
            <th scope="col">Answer</th>
            <th scope="col">Asked</th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {sorted.map((each, at) => (
            <tr key={at}>
              <td>{number(each.value, 3)}</td>
              <td class="rewards-cell">{each.text}</td>
              <td class="rewards-cell">{each.prompt}</td>
              <td class="rewards-cell">{each.reason}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
