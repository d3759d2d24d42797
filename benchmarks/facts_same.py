"""The experts of MoRE+ one at a time, by ShadowLM 0.4.12's own loop, beside all at once by ours: seconds and weights.

``python benchmarks/facts_same.py [--facts 12] [--steps 60] [--rate 1e-4 5e-3]`` needs ShadowLM in an environment of its own
(``shadowlm.py`` installs it). Ours starts from the very factors that ShadowLM draws and sees the very tokens that it trains on, at
its rank, scale, rate, steps and loss (every token of the turn, one wording). Its loop is not touched, but for AdamW's decay, which
ours does not have and which is set to 0 there. Both use one thread in fp32. The weights that are compared are those that ShadowLM
writes: ``scale * B A`` of each fact.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RANK, ALPHA = 8, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    parser.add_argument("--facts", type=int, default=12)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, nargs="+", default=[1e-4, 5e-3])
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--venv", type=Path, default=cache / "shadownb" / "benchmarks" / "shadowlm-0.4.12")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder is not None:
        theirs(given.folder, given.steps, given.rate[0])
        return
    from facts import read, says, share
    from shadowlm import prepare

    rows = read("facts_eval/facts.psv")
    rows = rows[:: max(1, len(rows) // given.facts)][: given.facts]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, 1, "")
        names = folder / "base" / "tokenizer_config.json"  # or its transformers would give what the model does not take
        told = {**json.loads(names.read_text()), "model_input_names": ["input_ids", "attention_mask"]}
        names.write_text(json.dumps(told))
        (folder / "rows.json").write_text(json.dumps([[row["question"], row["value"]] for row in rows]))
        for rate in given.rate:
            command = [
                str(given.venv / "bin" / "python"),
                __file__,
                "--folder",
                str(folder),
                "--steps",
                str(given.steps),
            ]
            done = subprocess.run(
                [*command, "--rate", str(rate)], check=False, capture_output=True, text=True,
                env={**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            if done.returncode:
                sys.exit(f"ShadowLM failed:\n{done.stderr[-2000:]}")
            there = json.loads((folder / "theirs.json").read_text())
            seconds, apart, largest, losses = ours(folder, given.steps, rate, given.at_once)
            print(f"rate {rate:g}, {given.steps} steps, {len(rows)} facts:")
            print(f"  ShadowLM {there['seconds'] / len(rows):.2f} s of CPU a fact, ours {seconds / len(rows):.3f} s: "
                  f"{there['seconds'] / seconds:.1f} times as fast")  # fmt: skip
            gap = max(abs(one - other) for one, other in zip(losses, there["losses"], strict=True))
            print(f"  weights at most {apart:.1e} apart, the largest is {largest:.3g}; last losses at most {gap:.1e} apart, "
                  f"theirs {min(there['losses']):.3f} to {max(there['losses']):.3f}")  # fmt: skip
            right = says(there["said"], [row["value"] for row in rows])
            print(f"  its model says {share(right, len(rows))} of the facts' own questions", flush=True)


def ours(folder: Path, steps: int, rate: float, at_once: int) -> tuple[float, float, float, list[float]]:
    """Train from their starts on their tokens; returns CPU seconds, the largest difference and weight, and the last losses."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    from shadownb.engine.backends.torch.adapters.places import final_norm, output_place
    from shadownb.engine.backends.torch.fact_group import FactGroup, Seen, Tail

    torch.set_num_threads(1)
    base: Any = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).eval().requires_grad_(False)
    _, place = output_place(base)
    norm, got = final_norm(base), {}
    place.register_forward_pre_hook(lambda _, inputs: got.update(inner=inputs[0][0]))
    norm.register_forward_pre_hook(lambda _, inputs: got.update(stream=inputs[0][0]))
    tokens = json.loads((folder / "theirs.json").read_text())["ids"]
    starts = load_file(folder / "starts.safetensors")
    theirs = load_file(folder / "run" / "more_plus_experts.safetensors")
    tail = Tail(norm, base.get_output_embeddings())
    apart = largest = spent = 0.0
    losses: list[float] = []
    for first in range(0, len(tokens), at_once):
        numbers = range(first, min(first + at_once, len(tokens)))
        started = time.process_time()
        seen = []
        for number in numbers:
            with torch.no_grad():
                base(torch.tensor([tokens[number]]), logits_to_keep=1)
            seen.append(Seen(got["inner"][:-1].clone(), got["stream"][:-1].clone(), torch.tensor(tokens[number][1:])))
        down = torch.stack([starts[str(number)] for number in numbers])
        group = FactGroup(seen, tail, down, torch.zeros(len(down), place.out_features, RANK), ALPHA / RANK)
        for step in range(steps):
            last = group.compute()
            group.update(rate, step)
        spent += time.process_time() - started
        losses += last.tolist()
        for number, one, other in zip(numbers, group.up.detach(), group.down.detach(), strict=True):
            made = ALPHA / RANK * one @ other
            apart = max(apart, float((made - theirs[f"expert_{number}"]).abs().max()))
            largest = max(largest, float(made.abs().max()))
    return spent, apart, largest, losses


def theirs(folder: Path, steps: int, rate: float) -> None:
    """In ShadowLM's environment: train as it does, and write what it starts from, what it sees, and how long it takes."""
    import functools
    import importlib

    here = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != here]  # or shadowlm.py here would be imported
    import torch
    from safetensors.torch import save_file

    shadowlm: Any = importlib.import_module("shadowlm")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    starts: dict[str, Any] = {}
    drawn = torch.nn.init.kaiming_uniform_

    def draw(tensor: Any, *args: Any, **options: Any) -> Any:
        drawn(tensor, *args, **options)
        starts[str(len(starts))] = tensor.detach().clone()
        return tensor

    torch.optim.AdamW = functools.partial(torch.optim.AdamW, weight_decay=0.0)
    model = shadowlm.load(str(folder / "base"), accelerator="none", max_seq_length=256, verbose=False)
    rows = [
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": value}]}
        for question, value in json.loads((folder / "rows.json").read_text())
    ]
    tokenizer = model._backend.tokenizer if hasattr(model, "_backend") else model.tokenizer
    ids = [tokenizer.apply_chat_template(row["messages"], tokenize=True) for row in rows]
    torch.nn.init.kaiming_uniform_ = draw
    losses: list[float] = []
    started = time.process_time()
    options = {"more_plus_expert_steps": steps, "learning_rate": rate, "lora_r": RANK, "lora_alpha": ALPHA}
    model.finetune(
        rows, method="more_plus", output_dir=str(folder / "run"), verbose=False, **options,
        on_step=lambda metric: losses.append(float(metric.loss)),
    )  # fmt: skip
    spent = time.process_time() - started
    said = [model.chat([row["messages"][0]], max_new_tokens=20, temperature=0.0).content for row in rows]
    save_file(starts, folder / "starts.safetensors")
    content = {"seconds": spent, "ids": ids, "said": said, "losses": losses}
    (folder / "theirs.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
