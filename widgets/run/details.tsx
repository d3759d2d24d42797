/** What lies under the charts: sampled answers, warnings, and the code for all of it. */
import { CodeBlock } from "../lib/copy-code";
import { AnswerText } from "./answer-text";
import type { Sample, Warning } from "./types";

interface SamplesProps {
  samples: Sample[];
  ended: boolean;
  /** What the weights were before the first step, in words. */
  start: string;
}

export function Samples({ samples, ended, start }: SamplesProps) {
  if (samples.length === 0) {
    return (
      <p class="snb-muted">
        {ended
          ? "This run recorded no sampled answers: it reached no evaluation, had no evaluation data, or sampling was off."
          : "Answers to the sample prompts appear here at each evaluation."}
      </p>
    );
  }
  const newestFirst = samples.toReversed();
  const items = newestFirst[0]?.items ?? [];
  const expected = items.some((item) => item.expected !== undefined);
  const before = items.some((item) => item.before !== undefined);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
    <div class="snb-tablewrap run-samples" tabIndex={0}>
      <table class="snb-table">
        <caption class="snb-hidden">Sampled answers by prompt and step, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Prompt</th>
            {expected && <th scope="col">Expected</th>}
            {before && <th scope="col">Before training{start === "the base" ? " (the base)" : ""}</th>}
            {newestFirst.map((sample, i) => (
              <th scope="col" key={sample.step}>
                Step {sample.step}
                {i === 0 && newestFirst.length > 1 ? " (newest)" : ""}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {items.map((item, row) => (
            <tr key={`${row} ${item.prompt}`}>
              <th scope="row">
                <AnswerText>{item.prompt}</AnswerText>
              </th>
              {expected && (
                <td>
                  <AnswerText>{item.expected ?? "--"}</AnswerText>
                </td>
              )}
              {before && (
                <td>
                  <AnswerText>{item.before ?? "--"}</AnswerText>
                </td>
              )}
              {newestFirst.map((sample) => (
                <td key={sample.step}>
                  <AnswerText>
                    {sample.items[row]?.completion ?? "--"}
                    {isRight(sample.items[row]) && <span class="snb-muted"> ✓ as expected</span>}
                  </AnswerText>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const isRight = (item: Sample["items"][number] | undefined): boolean =>
  item?.expected !== undefined && item.completion.trim() === item.expected.trim();

export function Warnings({ warnings }: { warnings: Warning[] }) {
  if (warnings.length === 0) {
    return <p class="snb-muted">No warnings.</p>;
  }
  return (
    <ul class="run-warnings">
      {warnings.map((warning, i) => (
        <li key={i}>
          <span class="snb-chip snb-chip--warn">{warning.code || "warning"}</span>
          <div>
            <p>{warning.what}</p>
            {warning.why && <p class="snb-muted">{warning.why}</p>}
            {warning.fix && (
              <p>
                <b>Next</b> {warning.fix}
              </p>
            )}
          </div>
        </li>
      ))}
    </ul>
  );
}

export function Code({ code }: { code: Record<string, string> }) {
  return (
    <div class="snb-stack">
      <CodeBlock title="Python" code={code.python ?? ""} />
      <CodeBlock title="Magic" code={code.magic ?? ""} />
    </div>
  );
}
