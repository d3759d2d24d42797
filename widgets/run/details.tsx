/** What lies under the charts: sampled answers, checkpoints, warnings, and the code for all of it. */
import { CodeBlock } from "../lib/copy-code";
import { number } from "../lib/format";
import type { Checkpoint, Sample, Warning } from "./types";

export function Samples({ samples, ended }: { samples: Sample[]; ended: boolean }) {
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
  const prompts = newestFirst[0]?.items.map((item) => item.prompt) ?? [];
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
    <div class="snb-tablewrap run-samples" tabIndex={0}>
      <table class="snb-table">
        <caption class="snb-hidden">Sampled answers by prompt and step, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Prompt</th>
            {newestFirst.map((sample, i) => (
              <th scope="col" key={sample.step}>
                Step {sample.step}
                {i === 0 && newestFirst.length > 1 ? " (newest)" : ""}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {prompts.map((prompt, row) => (
            <tr key={prompt}>
              <th scope="row">
                <div class="run-answer">{prompt}</div>
              </th>
              {newestFirst.map((sample) => (
                <td key={sample.step}>
                  <div class="run-answer">{sample.items[row]?.completion ?? "--"}</div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Checkpoints({ checkpoints }: { checkpoints: Checkpoint[] }) {
  if (checkpoints.length === 0) {
    return <p class="snb-muted">No checkpoint yet.</p>;
  }
  return (
    <div class="snb-tablewrap">
      <table class="snb-table">
        <caption class="snb-hidden">Checkpoints, newest first</caption>
        <thead>
          <tr>
            <th scope="col" class="is-number">
              Step
            </th>
            <th scope="col">Kind</th>
            <th scope="col" class="is-number">
              Eval loss
            </th>
            <th scope="col">Folder</th>
          </tr>
        </thead>
        <tbody>
          {checkpoints.toReversed().map((checkpoint) => (
            <tr key={checkpoint.path}>
              <th scope="row" class="is-number">
                {checkpoint.step}
              </th>
              <td>
                {[checkpoint.final && "final", checkpoint.best && "best"].filter(Boolean).join(", ") || "regular"}
              </td>
              <td class="is-number">{number(checkpoint.eval_loss)}</td>
              <td>
                <code>{checkpoint.path}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

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
