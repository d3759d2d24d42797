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
import math
import tempfile
from typing import Any

from _contenders import (
    Result,
    in_order,
    in_process,
    median,
    options_for,
    peak_memory_gb,
    print_curves,
    ratio,
    repeated,
    run_rounds,
    shadownb_settings,
    tell,
    train_shadownb,
    trl_settings,
    watch,
)

CONTENDERS = ("shadownb", "trl, its defaults", "trl, no checkpointing")
ROWS_PER_STEP = 8
RATE = 5e-4


def main() -> None:
    parser = options_for(__doc__, steps=6)
    parser.add_argument("--rows", help="JSONL file instead of the shipped task")
    options = parser.parse_args()
    if options.contender:
        tell(run_contender(options.contender, options))
        return
    compare(options)


def compare(options: argparse.Namespace) -> None:
    arguments = [*repeated(options), *(["--rows", options.rows] if options.rows else [])]
    results = run_rounds(
        CONTENDERS,
        options.rounds,
        lambda name: in_process(__file__, ["--contender", name, *arguments]),
        lambda result: f"{result['tokens_per_s']:.1f} tokens/s",
    )
    ours = results["shadownb"]
    first = ours[0]
    print(
        f"\n{first['rows']} rows of {first['mean_tokens']:.0f} tokens, {first['labelled_share']:.0%} trained, {options.steps} steps"
    )
    print(f"\n{'':24}{'tokens/s (median)':>18}{'share of peak':>15}{'peak memory':>13}{'ShadowNB is':>13}")
    for name, theirs in results.items():
        memory = max(result["peak_memory_gb"] for result in theirs)
        print(
            f"{name:24}{median(theirs, 'tokens_per_s'):18.1f}{median(theirs, 'share_of_peak'):15.0%}{memory:10.2f} GB"
            + ratio(ours, theirs, "tokens_per_s")
        )
    print_curves(results, ("losses", "grad_norms"), "loss, grad norm", allowed=options.allowed or 5e-4)


def run_contender(name: str, options: argparse.Namespace) -> Result:
    import shadownb as snb
    from shadownb.engine.backends.torch import adapters
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.runs.epochs import steps_of_epoch

    steps, device = options.steps, options.device
    model = snb.load(options.model, dtype="float32", device=device)
    dataset = snb.Dataset.load(options.rows) if options.rows else snb.Dataset.sample("support-triage")
    config = TrainConfig(**shadownb_settings(rows_per_step=ROWS_PER_STEP, steps=steps, rate=RATE))
    rows = [model.renderer.render(row, max_length=1024) for row in dataset.canonical_rows()]
    rows = [row for row in rows if row.trained_tokens]
    order = steps_of_epoch([[n] for n in range(len(rows))], ROWS_PER_STEP, config.seed, 0)[:steps]
    seen = [rows[i] for step in order for i in step]
    facts = {
        "rows": len(rows),
        "mean_tokens": sum(len(r.input_ids) for r in rows) / len(rows),
        "labelled_share": sum(r.trained_tokens for r in seen) / sum(len(r.input_ids) for r in seen),
    }
    if name == "shadownb":
        return {**facts, **train_ours(model, dataset, config, [[rows[i] for i in step] for step in order], device)}
    module = adapters.prepare(model.module, None, config, adapters.Start("base")).module
    checkpointing = "defaults" in name
    return {**facts, **train_trl(module, model.tokenizer, seen, steps, checkpointing=checkpointing, device=device)}


def train_ours(model: Any, dataset: Any, config: Any, steps: list[list[Any]], device: str) -> Result:
    from shadownb.engine.backends.torch.packed_batch import pack
    from shadownb.engine.rendering.packing import split

    computed = sum(
        pack([step[number] for number in group], share=True).input_ids.shape[1]
        for step in steps
        for group in split([(row,) for row in step], 2048, share=True)
    )
    metrics, _ = train_shadownb(model, dataset, config)
    seconds = metrics[-1]["elapsed_s"] - metrics[0]["elapsed_s"]
    return summary(metrics, [sum(len(r.input_ids) for r in step) for step in steps], computed, seconds, device)


def train_trl(module: Any, tokenizer: Any, rows: list[Any], steps: int, *, checkpointing: bool, device: str) -> Result:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    watching = watch()
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            **trl_settings(
                folder,
                rows_per_step=ROWS_PER_STEP,
                steps=steps,
                rate=RATE,
                checkpointing=checkpointing,
                device=device,
            ),
            dataset_kwargs={"skip_prepare_dataset": True},
        )
        data = Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels} for r in rows])
        trainer = in_order(SFTTrainer)(
            model=module, args=settings, train_dataset=data, processing_class=tokenizer, callbacks=[watching]
        )
        trainer.train()
    tokens = [sum(len(r.input_ids) for r in rows[i : i + ROWS_PER_STEP]) for i in range(0, len(rows), ROWS_PER_STEP)]
    padded = sum(
        ROWS_PER_STEP * max(len(r.input_ids) for r in rows[i : i + ROWS_PER_STEP])
        for i in range(0, len(rows), ROWS_PER_STEP)
    )
    return summary(watching.metrics, tokens, padded, watching.times[-1] - watching.times[0], device)


def summary(metrics: list[dict[str, Any]], tokens: list[int], computed: int, seconds: float, device: str) -> Result:
    """The first step is warm-up: its time is not in ``seconds``, so its tokens are not counted."""
    from shadownb.engine.backends.torch.devices import matmul_flops

    memory = peak_memory_gb(device)
    blocks = 106_203_456  # weights in the linear layers of SmolLM2-135M
    counted = computed * sum(tokens[1:]) / sum(tokens)
    return {
        "losses": [m["loss"] for m in metrics],
        "grad_norms": [m["grad_norm"] for m in metrics],
        "tokens_per_s": sum(tokens[1:]) / seconds,
        "share_of_peak": 4 * blocks * counted / seconds / matmul_flops("float32") if device == "cpu" else math.nan,
        "peak_memory_gb": memory,
    }


if __name__ == "__main__":
    main()
