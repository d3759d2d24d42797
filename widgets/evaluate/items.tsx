/** The items of a suite one by one: which of them came out differently or failed, and the answers side by side. */
import { useEffect, useState } from "preact/hooks";
import { Chip, Field, Fold, Segmented } from "../lib/controls";
import { count, number } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { Opened } from "../lib/opened";
import { Pager, range } from "../lib/pager";
import type { Browse, BrowsedItem, Item, Sample, Summary } from "./types";

const PAGE = 20;

/** `asked`: somebody has asked for a list already, which has not come yet. */
export function Items({ asked }: { asked: boolean }) {
  const browse = useTraitValue<Browse | Record<string, never>>("browse");
  const [send] = useCommand();
  const known = "filters" in browse;
  useEffect(() => {
    if (!known && !asked) {
      send("browse");
    }
  }, [known]);
  return known ? <Browser browse={browse as Browse} /> : <p class="snb-muted">Reading items</p>;
}

function Browser({ browse }: { browse: Browse }) {
  const summary = useTraitValue<Summary>("summary");
  const item = useTraitValue<Item | Record<string, never>>("item");
  const [closed, setClosed] = useState("");
  const [send] = useCommand();
  const select = (label: string, name: keyof Browse, options: readonly (readonly [string, string])[]) => (
    <Field label={label}>
      {(ids) => (
        <select
          {...ids}
          class="snb-select"
          value={String(browse[name])}
          onChange={(event) => send("browse", { [name]: event.currentTarget.value })}
        >
          {options.map(([value, title]) => (
            <option key={value} value={value}>
              {title}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
  const sides = summary.sides.map((side) => [side, side] as const);
  const opened = "messages" in item && item.id !== closed ? (item as Item) : null;
  return (
    <div class="snb-stack">
      <div class="evaluate-filters">
        {select(
          "Suite",
          "suite",
          summary.suites.map(({ name }) => [name, name] as const),
        )}
        {select("Model", "side", sides)}
        {sides.length > 1 && select("Compared with", "to", sides)}
        {select(
          "Show",
          "filter",
          browse.filters.map(({ id, title, count: found }) => [id, `${title} (${count(found)})`] as const),
        )}
      </div>
      <List
        browse={browse}
        opened={opened?.id ?? ""}
        onOpen={(id) => {
          setClosed("");
          send("show_item", { item: id });
        }}
      />
      {opened && <Detail item={opened} onClose={() => setClosed(opened.id)} />}
    </div>
  );
}

function List({ browse, opened, onOpen }: { browse: Browse; opened: string; onOpen: (id: string) => void }) {
  const [send] = useCommand();
  const go = (page: number) => (page < 0 || page >= browse.pages ? null : () => send("browse", { page }));
  const both = browse.side !== browse.to;
  if (browse.items.length === 0) {
    return <p class="snb-empty snb-muted">No item of {browse.suite} is like this.</p>;
  }
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long table is scrolled by keyboard */}
      <section class="snb-tablewrap evaluate-list" tabIndex={0} aria-label="Items">
        <table class="snb-table">
          <thead>
            <tr>
              <th scope="col">Item</th>
              <th scope="col">Asked</th>
              {both && <th scope="col">{browse.to}</th>}
              <th scope="col">{browse.side}</th>
            </tr>
          </thead>
          <tbody>
            {browse.items.map((item) => (
              <tr key={item.id} class={item.id === opened ? "is-open" : ""}>
                <th scope="row">
                  <button type="button" class="evaluate-open" onClick={() => onOpen(item.id)}>
                    {item.id}
                  </button>
                </th>
                <td class="evaluate-asked">{item.asked}</td>
                {both && <Came cell={item.cells[0]} />}
                <Came cell={item.cells[1]} />
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <Pager
        label="Pages of items"
        back={[["Earlier", go(browse.page - 1)]]}
        shown={range(browse.page * PAGE, browse.items.length, browse.count)}
        on={[["Later", go(browse.page + 1)]]}
      />
    </>
  );
}

const tone = (score: number | null) => (score === null ? "warn" : score >= 1 ? "good" : score <= 0 ? "bad" : "plain");

function Came({ cell }: { cell: BrowsedItem["cells"][number] | undefined }) {
  return (
    <td>
      {cell && (
        <span class="snb-row">
          <Chip tone={tone(cell.score)}>{number(cell.score, 2)}</Chip> {cell.words}
        </span>
      )}
    </td>
  );
}

function Detail({ item, onClose }: { item: Item; onClose: () => void }) {
  const [at, setAt] = useState("0");
  const samples = item.answers[0]?.samples.length ?? 1;
  return (
    <Opened id={item.id} label="Item" title={item.id} onClose={onClose}>
      {item.messages.length > 0 && (
        <Fold summary="Asked" open>
          {item.messages.map((message, place) => (
            <Text key={place} label={message.role} text={message.text} />
          ))}
        </Fold>
      )}
      {item.expected && (
        <Fold summary="Expected">
          <Text label="expected" text={item.expected} />
        </Fold>
      )}
      {samples > 1 && (
        <Segmented
          label="Sample"
          value={at}
          options={Array.from({ length: samples }, (_, place) => [String(place), `Sample ${place + 1}`] as const)}
          onChange={setAt}
        />
      )}
      <div class="evaluate-answers">
        {item.answers.map(({ side, samples: given }) => (
          <Answer key={side} side={side} sample={given[Number(at)] ?? given[0]} />
        ))}
      </div>
      {item.diff.some(([what]) => what !== "same") && (
        <section aria-label="Difference">
          <h4>
            From {item.between[0]} to {item.between[1]}
          </h4>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long text is scrolled by keyboard */}
          <pre class="evaluate-diff" tabIndex={0}>
            {item.diff.map(([what, text], place) =>
              what === "removed" ? (
                <del key={place}>{text}</del>
              ) : what === "added" ? (
                <ins key={place}>{text}</ins>
              ) : (
                <span key={place}>{text}</span>
              ),
            )}
          </pre>
        </section>
      )}
    </Opened>
  );
}

function Answer({ side, sample }: { side: string; sample: Sample | undefined }) {
  if (sample === undefined) {
    return null;
  }
  const rules = Object.entries(sample.rules);
  return (
    <article class="evaluate-answer" aria-label={`Answer of ${side}`}>
      <div class="snb-row">
        <h4>{side}</h4>
        {sample.graded && <Chip tone={tone(sample.score)}>{number(sample.score, 2)}</Chip>}
        <span class="snb-muted">{[sample.outcome, ...sample.notes].filter(Boolean).join(", ")}</span>
      </div>
      {sample.error ? (
        <p class="snb-field-error">No answer: {sample.error}</p>
      ) : sample.answered ? (
        <Text label="" text={sample.text === "" ? "(empty)" : sample.text} />
      ) : (
        sample.graded || <p class="snb-muted">Not asked yet.</p>
      )}
      {sample.extracted && (
        <Fold summary="What was graded">
          <Text label="" text={sample.extracted} />
        </Fold>
      )}
      {sample.reason && <p class="snb-muted evaluate-reason">{sample.reason}</p>}
      {rules.length > 1 && (
        <p class="snb-muted">By rule: {rules.map(([rule, value]) => `${rule} ${number(value, 2)}`).join(", ")}.</p>
      )}
    </article>
  );
}

function Text({ label, text }: { label: string; text: string }) {
  return (
    <div class="evaluate-text">
      {label && <span class="snb-muted">{label}</span>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long text is scrolled by keyboard */}
      <pre tabIndex={0}>{text}</pre>
    </div>
  );
}
