"""A whole GRPO step (answers, rewards, update) beside trl's GRPOTrainer + peft, in CPU seconds, and one on the very same answers.

Run: ``python benchmarks/grpo.py [--rounds 3] [--steps 3]``

Each contender trains in a process of its own, in turn; ratios are per round. Four prompts of the task of ``grpo_task.py`` a step,
eight answers of at most 24 tokens each, temperature 1, fp32, LoRA r 16, loss_type dapo, no divergence; trl's checkpointing is off.
Counted are the CPU seconds of the process and its children from the end of the first step (warm-up) to that of the last, by answer
token, since each samples its own answers: a model that stops earlier has less to do.

The same answers: trl is given those that ShadowNB sampled in its first step (``rollout_func``), from the same adapter weights; loss
and norm of the gradient have to agree to 1e-4, or the comparison is void and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from _contenders import (
    Result,
    in_process,
    median,
    options_for,
    peak_memory_gb,
    ratio,
    repeated,
    run_rounds,
    tell,
    trl_settings,
)
from grpo_task import NUMBERS, WORDS, prompts

CONTENDERS = ("shadownb", "trl, no checkpointing")
SAME = "trl, ShadowNB's answers"
PROMPTS, ANSWERS, TOKENS, RATE = 4, 8, 24, 1e-4


def main() -> None:
    parser = options_for(__doc__, steps=3, help="at least 2, the first is warm-up")
    parser.add_argument("--answers", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.steps = max(2, options.steps)
    if options.contender:
        tell(run_contender(options.contender, options))
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        answers = str(Path(folder) / "answers.json")
        arguments = [*repeated(options), "--answers", answers]
        results = run_rounds(
            CONTENDERS,
            options.rounds,
            lambda name: in_process(__file__, ["--contender", name, *arguments]),
            lambda result: (
                f"{result['cpu_s_per_step']:.1f} CPU s a step, {1 / result['steps_per_token']:.1f} answer tokens each"
            ),
        )
        same = in_process(__file__, ["--contender", SAME, *arguments])
    ours = results["shadownb"]
    print(f"\n{PROMPTS} prompts, {ANSWERS} answers each, {options.steps} steps")
    print(f"\n{'':28}{'CPU s a step':>14}{'CPU s / 1,000 answer tokens':>30}{'peak memory':>13}{'ShadowNB is':>13}")
    for name, theirs in results.items():
        print(
            f"{name:28}{median(theirs, 'cpu_s_per_step'):14.1f}{1000 / median(theirs, 'tokens_per_cpu_s'):30.1f}"
            f"{max(result['peak_memory_gb'] for result in theirs):10.2f} GB" + ratio(ours, theirs, "tokens_per_cpu_s")
        )
    loss, norm = (abs(same[key] - ours[-1][key]) for key in ("first_loss", "first_norm"))
    print(
        f"\nthe same answers: loss {ours[-1]['first_loss']:.6f} and {same['first_loss']:.6f}, norm of the gradient "
        f"{ours[-1]['first_norm']:.5f} and {same['first_norm']:.5f}"
        + ("" if max(loss, norm) < 1e-4 else "  THEY DIFFER: VOID")
    )


def letters(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
    """A reward that costs nothing and differs from answer to answer."""
    said = [one if isinstance(one, str) else one[-1]["content"] for one in completions]
    return [sum(letter in "aeiou" for letter in text) / max(1, len(text)) for text in said]


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def run_contender(name: str, options: argparse.Namespace) -> Result:
    import shadownb as snb

    model: Any = snb.load(options.model, dtype="float32", device=options.device)
    rows = prompts(WORDS, NUMBERS)[: PROMPTS * options.steps]
    config = snb.TrainConfig(
        method="grpo", reward_fns=[letters], num_generations=ANSWERS, max_completion_length=TOKENS, learning_rate=RATE,
        max_steps=options.steps, per_device_train_batch_size=PROMPTS, warmup_steps=0, sample_max_new_tokens=0,
    )  # fmt: skip
    if name == "shadownb":
        return ours(model, rows, config, options)
    return trls(model, rows, config, options, json.loads(Path(options.answers).read_text()) if name == SAME else None)


def ours(model: Any, rows: list[dict[str, Any]], config: Any, options: argparse.Namespace) -> Result:
    import transformers

    spent: list[float] = []
    sampled: list[str] = []

    class Watch(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            spent.append(cpu_seconds())
            if not sampled:  # the file of a batch goes once a later one is in a checkpoint
                (file,) = Path(os.environ["SHADOWNB_HOME"]).glob("runs/*/samples/answering-000000.jsonl")
                sampled.extend(file.read_text().splitlines()[1:])

    with tempfile.TemporaryDirectory() as home:
        os.environ["SHADOWNB_HOME"] = home
        run = model.train(
            rows,
            background=False,
            callbacks=[Watch()],
            **{**config.changed, "save_steps": 10**6, "reward_fns": [letters]},
        )
        tokens = [sum(a["tokens"] for g in run.completions(m["step"]) for a in g["completions"]) for m in run.metrics]
        entries = [json.loads(line) for line in sampled]
        ids = [[e["prompt"], e["sample"], e["completion"]["token_ids"]] for e in entries if "completion" in e]
        asked = [group["prompt"] for group in run.completions(1)]
        Path(options.answers).write_text(json.dumps({"asked": asked, "answers": sorted(ids)}))
        metrics = run.metrics
    return _result(spent, tokens, metrics[0]["loss"], metrics[0]["grad_norm"], options)


def trls(model: Any, rows: list[dict[str, Any]], config: Any, options: argparse.Namespace, given: Any) -> Result:
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from shadownb.engine.backends.torch import adapters

    warnings.filterwarnings("ignore")
    adapter = adapters.prepare(model.module, None, config, adapters.Start("base"))
    peft_config = adapter.module.peft_config["default"]
    start = {name: parameter.detach().clone() for name, parameter in adapter.owned().items()}
    module = adapter.remove()
    spent: list[float] = []
    tokens: list[int] = []
    logged: list[dict[str, Any]] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            spent.append(cpu_seconds())

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" in logs:
                logged.append(dict(logs))

    def counted(prompts: list[Any], completions: list[Any], completion_ids: list[Any], **columns: Any) -> list[float]:
        tokens.append(sum(len(ids) for ids in completion_ids))
        return letters(prompts, completions)

    def repeated_answers(asked: list[Any], trainer: Any) -> dict[str, Any]:
        render = model.renderer.render_prompt
        ids = {question: render([{"role": "user", "content": question}]) for question in given["asked"]}
        answers = [answer for _, _, answer in given["answers"]]
        return {"prompt_ids": [ids[one[-1]["content"]] for one in asked], "completion_ids": answers, "logprobs": None}

    order = given["asked"] if given else [row["prompt"] for row in rows]
    settings = trl_settings(
        tempfile.mkdtemp(), rows_per_step=PROMPTS * ANSWERS, steps=1 if given else options.steps, rate=RATE, checkpointing=False,
        device=options.device,
    )  # fmt: skip
    settings.pop("max_length")
    trainer = GRPOTrainer(
        model=module,
        reward_funcs=counted,
        args=GRPOConfig(**settings, num_generations=ANSWERS, max_completion_length=TOKENS, shuffle_dataset=False),
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": question}]} for question in order]),
        processing_class=model.tokenizer,
        peft_config=peft_config,
        callbacks=[Watch()],
        **({"rollout_func": repeated_answers} if given else {}),
    )
    theirs = {n: p for n, p in trainer.model.named_parameters() if p.requires_grad}
    if theirs.keys() != start.keys():
        raise SystemExit("trl trains other parameters than ShadowNB")
    with torch.no_grad():
        for parameter, value in start.items():
            theirs[parameter].copy_(value)
    trainer.train()
    return _result(spent, tokens, logged[0]["loss"], logged[0]["grad_norm"], options)


def _result(spent: list[float], tokens: list[int], loss: float, norm: float, options: argparse.Namespace) -> Result:
    seconds, answered = spent[-1] - spent[0], sum(tokens[1:])
    steps = max(1, len(spent) - 1)
    return {
        "cpu_s_per_step": seconds / steps,
        "tokens_per_cpu_s": answered / seconds if seconds else 0.0,
        "steps_per_token": steps / answered if answered else 1.0,
        "first_loss": loss,
        "first_norm": norm,
        "peak_memory_gb": peak_memory_gb(options.device),
    }


if __name__ == "__main__":
    main()
