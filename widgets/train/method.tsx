/** The third part of the form: the methods in groups, what each needs and costs, and the reason where one can't be used. */
import { Fold } from "../lib/controls";
import { gigabytes } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { useId } from "../lib/use-id";
import { number } from "./form";
import { FormPart } from "./picker";
import type { Method, MethodMemory } from "./types";

export function MethodPart() {
  const methods = useTraitValue<Method[]>("methods");
  const chosen = useTraitValue<string>("method");
  const memory = useTraitValue<MethodMemory>("memory");
  const [send] = useCommand();
  const name = useId();
  const groups = [...new Set(methods.map((method) => method.group))];
  const usable = methods.filter((method) => method.blocked === null).length;
  const current = methods.find((method) => method.name === chosen);
  const shared = sharedFixes(methods);
  return (
    <FormPart
      name="method"
      title="Method"
      chosen={
        usable < methods.length && (
          <span class="snb-muted snb-push">
            {usable} of {methods.length} can be used here
          </span>
        )
      }
    >
      {[...shared].map(([fix, titles]) => (
        <p key={fix} class="train-fix">
          To use {titles.slice(0, -1).join(", ")} or {titles.at(-1)}: {fix}.
        </p>
      ))}
      <div class="train-groups">
        {groups.map((group) => {
          const members = methods.filter((method) => method.group === group);
          return (
            <fieldset key={group} class="train-methods" style={{ "--members": members.length }}>
              <legend class="train-label">{group}</legend>
              {members.map((method) => (
                <MethodCard
                  key={method.name}
                  method={method}
                  name={name}
                  memory={memory[method.name]}
                  reason={reasonOf(method, shared)}
                  chosen={method.name === chosen}
                  onChoose={() => send("choose_method", { name: method.name })}
                />
              ))}
            </fieldset>
          );
        })}
      </div>
      {current && <About method={current} memory={memory[current.name]} />}
      <Fold summary={`Compare all ${methods.length} methods`}>
        <Comparison methods={methods} memory={memory} />
      </Fold>
    </FormPart>
  );
}

/** A reason is one or two sentences, joined by a semicolon: why not, and what to do about it (it begins as one does). */
const FIX = /; (?=[A-Z])/;

/** What to do about it, where that is the same for several methods: then it is said once, with their titles. */
function sharedFixes(methods: Method[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const method of methods) {
    const fix = method.blocked?.split(FIX)[1];
    if (fix !== undefined) {
      found.set(fix, [...(found.get(fix) ?? []), method.title]);
    }
  }
  return new Map([...found].filter(([, titles]) => titles.length > 1));
}

function reasonOf(method: Method, shared: Map<string, string[]>): string | null {
  const [why, fix] = method.blocked?.split(FIX) ?? [];
  return why !== undefined && fix !== undefined && shared.has(fix) ? why : method.blocked;
}

type Memory = MethodMemory[string] | undefined;

interface CardProps {
  method: Method;
  name: string;
  memory: Memory;
  /** Why it can't be used, or null. */
  reason: string | null;
  chosen: boolean;
  onChoose: () => void;
}

function MethodCard({ method, name, memory, reason, chosen, onChoose }: CardProps) {
  const id = useId();
  const blocked = reason !== null;
  const facts = [share(method), memory && memoryText(memory)].filter(Boolean).join(", ");
  return (
    <label class={`train-method${chosen ? " is-on" : ""}${blocked ? " is-off" : ""}`}>
      <input
        type="radio"
        name={name}
        value={method.name}
        checked={chosen}
        disabled={blocked && !chosen}
        aria-labelledby={`${id}-title`}
        aria-describedby={id}
        onChange={onChoose}
      />
      <span class="train-methodtext">
        <b id={`${id}-title`}>{method.title}</b>
        <span id={id} class="train-methodhint">
          <span>{method.hint}</span>
          {blocked ? (
            <span class="train-blocked">Not here: {reason}.</span>
          ) : (
            <span class="snb-muted">
              For {method.data}
              {facts && `; ${facts}`}
            </span>
          )}
        </span>
      </span>
    </label>
  );
}

/** The chosen method in full. */
function About({ method, memory }: { method: Method; memory: Memory }) {
  const rows = [
    ["Data", method.data],
    ["Learning rate", number(Number(method.rate)), method.rate_source],
    ["Trains", share(method) || "known once a model is loaded"],
    ["Memory", memory ? memoryText(memory) : "known once data and model are chosen"],
  ];
  return (
    <dl class="train-about" aria-label={`${method.title}: data, rate and cost`}>
      {rows.map(([label, value, reason]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>
            {value} {reason && <span class="snb-muted">{reason}</span>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Comparison({ methods, memory }: { methods: Method[]; memory: MethodMemory }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
    <div class="snb-tablewrap train-comparison" tabIndex={0}>
      <table class="snb-table">
        <caption class="snb-hidden">
          All methods: data, learning rate, trained weights, memory, whether usable here
        </caption>
        <thead>
          <tr>
            {["Method", "Data", "Learning rate", "Trains", "Memory", "Here"].map((title) => (
              <th scope="col" key={title}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {methods.map((method) => (
            <tr key={method.name}>
              <th scope="row">{method.title}</th>
              <td>{method.data}</td>
              <td>
                {number(Number(method.rate))} <span class="snb-muted">{method.rate_source}</span>
              </td>
              <td>{share(method) || "--"}</td>
              <td>{memory[method.name] ? memoryText(memory[method.name]) : "--"}</td>
              <td>{method.blocked ?? "can be used"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** "0.66% of the weights (0.9 M)"; empty while it isn't known. */
export function share(method: Pick<Method, "share">): string {
  if (!method.share) return "";
  if (method.share.share >= 1) return "all weights";
  const percent = Number((method.share.share * 100).toPrecision(2));
  const { count } = method.share;
  const counted = count >= 1e5 ? `${(count / 1e6).toFixed(1)} M` : count.toLocaleString("en-US");
  return `${percent < 0.001 ? "under 0.001" : percent}% of the weights (${counted})`;
}

function memoryText(memory: Memory): string {
  return memory ? `about ${gigabytes(memory.expected_gb)}${memory.fits ? "" : ", may not fit"}` : "";
}
