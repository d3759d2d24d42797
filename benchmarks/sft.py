"""Supervised LoRA training: ShadowNB beside plain trl SFTTrainer + peft, on the same rows, model and settings.

Run: ``python benchmarks/sft.py [--rounds 3] [--steps 6] [--rows FILE.jsonl]``

Each contender trains in a process of its own, in turn, so that all see the same machine; ratios are per round. All start
from the same adapter weights, see the same tokenised rows in the same order, eight rows an optimizer step, fp32. The
loss curves must agree to four decimals, or the comparison is void and says so. trl runs with its defaults (gradient
checkpointing on) and with checkpointing off. ``tokens/s`` counts the real tokens of the rows, without padding; where rows
begin alike (a common system prompt) ShadowNB computes that start once a step, ``--rows`` shows data without one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

CONTENDERS = ("shadownb", "trl, its defaults", "trl, no checkpointing")
ROWS_PER_STEP = 8
RATE = 5e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rows", help="JSONL file instead of the shipped task")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print("RESULT " + json.dumps(run_contender(options.contender, options.steps, options.rows)))
        return
    compare(options)


def compare(options: argparse.Namespace) -> None:
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for round_number in range(options.rounds):
        order = CONTENDERS if round_number % 2 == 0 else CONTENDERS[::-1]
        for name in order:
            results[name].append(in_process(name, options))
            print(f"round {round_number + 1}: {name}: {results[name][-1]['tokens_per_s']:.1f} tokens/s", flush=True)
    first = results["shadownb"][0]
    print(
        f"\n{first['rows']} rows of {first['mean_tokens']:.0f} tokens, {first['labelled_share']:.0%} trained, {options.steps} steps"
    )
    print(f"\n{'':24}{'tokens/s (median)':>18}{'share of peak':>15}{'peak memory':>13}{'ShadowNB is':>13}")
    for name in CONTENDERS:
        rate = statistics.median(r["tokens_per_s"] for r in results[name])
        share = statistics.median(r["share_of_peak"] for r in results[name])
        memory = max(r["peak_memory_gb"] for r in results[name])
        ratios = [
            a["tokens_per_s"] / b["tokens_per_s"] for a, b in zip(results["shadownb"], results[name], strict=True)
        ]
        print(
            f"{name:24}{rate:18.1f}{share:15.0%}{memory:10.2f} GB{statistics.median(ratios):11.2f} x"
            f"  ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print(f"\n{'step':>6}" + "".join(f"{name:>24}" for name in CONTENDERS) + "   (loss, grad norm)")
    for step in range(options.steps):
        cells = [f"{results[n][0]['losses'][step]:.4f} {results[n][0]['grad_norms'][step]:.4f}" for n in CONTENDERS]
        print(f"{step + 1:>6}" + "".join(f"{cell:>24}" for cell in cells))
    gaps = [abs(a - b) for n in CONTENDERS[1:] for a, b in zip(first["losses"], results[n][0]["losses"], strict=True)]
    print(
        f"\nlargest difference of a loss: {max(gaps):.1e}" + ("" if max(gaps) < 5e-4 else "  THE CURVES DIFFER: VOID")
    )


def in_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--contender", name, "--steps", str(options.steps)]
    if options.rows:
        command += ["--rows", options.rows]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CI": "1"}, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return dict(json.loads(line.removeprefix("RESULT ")))
    sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")


def run_contender(name: str, steps: int, rows_file: str | None) -> dict[str, Any]:
    import shadownb as snb
    from shadownb.engine.backends.torch import surfaces
    from shadownb.engine.backends.torch.batches import StepSampler
    from shadownb.engine.config import TrainConfig

    model = snb.load("smollm2-135m", dtype="float32")
    dataset = snb.Dataset.load(rows_file) if rows_file else snb.Dataset.sample("support-triage")
    config = TrainConfig(
        learning_rate=RATE,
        max_steps=steps,
        per_device_train_batch_size=ROWS_PER_STEP,
        gradient_accumulation_steps=1,
        warmup_steps=0,
        sample_max_new_tokens=0,
    )
    rows = [model.renderer.render(row, max_length=1024) for row in dataset.canonical_rows()]
    rows = [row for row in rows if row.trained_tokens]
    sampler = StepSampler([len(r.input_ids) for r in rows], ROWS_PER_STEP, config.seed, packing=False, max_length=1024)
    order = list(sampler)[:steps]
    seen = [rows[i] for step in order for i in step]
    facts = {
        "rows": len(rows),
        "mean_tokens": sum(len(r.input_ids) for r in rows) / len(rows),
        "labelled_share": sum(r.trained_tokens for r in seen) / sum(len(r.input_ids) for r in seen),
    }
    if name == "shadownb":
        return {**facts, **train_ours(model, dataset, config, [[rows[i] for i in step] for step in order])}
    module = surfaces.prepare(model.module, None, config, surfaces.Start("base")).module
    return {**facts, **train_trl(module, model.tokenizer, seen, steps, checkpointing="defaults" in name)}


def train_ours(model: Any, dataset: Any, config: Any, steps: list[list[Any]]) -> dict[str, Any]:
    from shadownb.engine.backends.torch.pieces import pack, split

    computed = sum(
        pack([step[number] for number in group], share=True).input_ids.shape[1]
        for step in steps
        for group in split([(row,) for row in step], 2048, share=True)
    )
    with tempfile.TemporaryDirectory() as home:
        os.environ["SHADOWNB_HOME"] = home
        options = {k: v for k, v in config.changed.items() if k != "method"}
        run = model.finetune(dataset, background=False, save_steps=10**6, **options)
        metrics = run.metrics
    seconds = metrics[-1]["elapsed_s"] - metrics[0]["elapsed_s"]
    return summary(metrics, [sum(len(r.input_ids) for r in step) for step in steps], computed, seconds)


def train_trl(module: Any, tokenizer: Any, rows: list[Any], steps: int, *, checkpointing: bool) -> dict[str, Any]:
    import psutil
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.times: list[float] = []
            self.metrics: list[dict[str, Any]] = []

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            self.times.append(time.perf_counter())

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in logs:
                memory = psutil.Process().memory_info().rss / 1e9
                self.metrics.append({"loss": logs["loss"], "grad_norm": logs["grad_norm"], "peak_memory_gb": memory})

    class InOrder(SFTTrainer):
        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=ROWS_PER_STEP,
            gradient_accumulation_steps=1,
            max_steps=steps,
            learning_rate=RATE,
            weight_decay=0.01,
            warmup_steps=0,
            lr_scheduler_type="linear",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            bf16=False,
            use_cpu=True,
            max_length=1024,
            dataset_kwargs={"skip_prepare_dataset": True},
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **({} if checkpointing else {"gradient_checkpointing": False}),
        )
        data = Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels} for r in rows])
        trainer = InOrder(
            model=module, args=settings, train_dataset=data, processing_class=tokenizer, callbacks=[watch]
        )
        trainer.train()
    tokens = [sum(len(r.input_ids) for r in rows[i : i + ROWS_PER_STEP]) for i in range(0, len(rows), ROWS_PER_STEP)]
    padded = sum(
        ROWS_PER_STEP * max(len(r.input_ids) for r in rows[i : i + ROWS_PER_STEP])
        for i in range(0, len(rows), ROWS_PER_STEP)
    )
    return summary(watch.metrics, tokens, padded, watch.times[-1] - watch.times[0])


def summary(metrics: list[dict[str, Any]], tokens: list[int], computed: int, seconds: float) -> dict[str, Any]:
    """The first step is warm-up: its time is not in ``seconds``, so its tokens are not counted."""
    from shadownb.engine.estimate import matmul_flops

    blocks = 106_203_456  # weights in the linear layers of SmolLM2-135M
    counted = computed * sum(tokens[1:]) / sum(tokens)
    return {
        "losses": [m["loss"] for m in metrics],
        "grad_norms": [m["grad_norm"] for m in metrics],
        "tokens_per_s": sum(tokens[1:]) / seconds,
        "share_of_peak": 4 * blocks * counted / seconds / matmul_flops(),
        "peak_memory_gb": max(m["peak_memory_gb"] for m in metrics),
    }


if __name__ == "__main__":
    main()
