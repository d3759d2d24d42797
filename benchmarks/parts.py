"""Where the time of a step goes, part by part, beside what this machine could do.

Run: ``python benchmarks/parts.py [--method lora] [--dtype float32] [--model smollm2-135m] [--rounds 6] [--rows FILE.jsonl]
[--only-kernels]``. The figures of ``kernels/rule.py`` are those of the last table.

Three tables, all of the third step of a real run on the shipped task (pairs of it for dpo and kto), 8 rows a step:

* the peak of this machine's products, measured warm (one second, 50 repeats), and the *attainable* limit: the step's own
  products and nothing else, each at its shape with its layer's own weights, by the faster of torch's and oneDNN's; those of
  blocks, head and adapters are counted, forward and back (attention's own are not: they are 1 % here);
* the step by parts, from torch's profiler (which makes the last part, Python, larger than it is);
* CPU seconds of the step with all kernels, with those that the run chose, without any, and with all but one each,
  interleaved; how far the loss is off; and what the short trial of ``shadownb doctor`` finds of each.

All seconds but the profiler's are CPU seconds of the process. With ``OMP_NUM_THREADS=1`` they say the same on a busy machine as on
an idle one.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from dpo import make_pairs

import shadownb as snb
from shadownb.engine.backends.torch import training as torch_training
from shadownb.engine.backends.torch.kernels import choosing, onednn_linear, rule, trial
from shadownb.engine.backends.torch.kernels.installed import NAMES

_LOOKED_AT = 2  # the step that is measured, counted from 0: the first ones load and compile
_THIN = 128  # a product with a dimension up to this is an adapter's
_PAIRS = ("dpo", "kto")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="lora")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--rows", help="JSONL file instead of the shipped task")
    parser.add_argument("--only-kernels", action="store_true", help="the last table alone")
    options = parser.parse_args()
    quantize = "4bit" if options.method == "qlora" else None
    model = snb.load(options.model, dtype=options.dtype, quantize=quantize)
    rows: Any = snb.Dataset.load(options.rows) if options.rows else snb.Dataset.sample("support-triage")
    rows = make_pairs(64) if options.method in _PAIRS else rows
    chosen = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "sample_max_new_tokens": 0}
    with tempfile.TemporaryDirectory() as folder, _looking(lambda *step: look(*step, options)):
        run = model.train(
            rows, method=options.method, max_steps=_LOOKED_AT + 1, save_steps=10**6, background=False, **chosen
        )
        del folder
    if run.status != "succeeded":
        raise SystemExit(f"the run {run.status}: {run.error}")
    value, reason = run.state.record["decisions"]["kernels"]
    print(f"\nkernels of the run: {value}\n  {reason}")


class _looking:
    """Inside the block, a step of each training on torch is handed to ``look`` before it is computed."""

    def __init__(self, look: Callable[..., None]) -> None:
        self._look, self._compute = look, torch_training.TorchTraining.compute

    def __enter__(self) -> None:
        look, compute = self._look, self._compute

        def looked(session: Any, examples: Any, objective: Any, *, step: int, total: int) -> float:
            def once() -> float:
                return compute(session, examples, objective, step=step, total=total)

            if step == _LOOKED_AT:
                look(session, examples, once)
            return once()

        torch_training.TorchTraining.compute = looked  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        torch_training.TorchTraining.compute = self._compute  # type: ignore[method-assign]


def look(session: Any, examples: Sequence[Any], once: Callable[[], float], options: argparse.Namespace) -> None:
    """Print the three tables of one step."""
    if options.only_kernels:
        once()
        by_kernel(session, once, options.rounds)
        return
    passes = session.passes
    batches = [batch for batch, _ in passes.batches(examples)]
    shapes = [(batch.input_ids.shape[1], len(batch.targets)) for batch in batches]
    print(
        f"{options.method} in {options.dtype}, {torch.get_num_threads()} threads: batches of (tokens, trained) {shapes}"
    )
    work, limit = attainable(session, shapes)
    peak = warm_peak(passes.adapter.base.dtype)
    seconds = min(timed(once) for _ in range(3))
    print(f"CPU seconds: the step {seconds:.3f}, its {work / 1e9:.0f} GFLOP of products alone {limit:.3f}")
    print(f"so {limit / seconds:.0%} of the attainable limit of {work / limit / 1e9:.0f} GFLOP a CPU second,")
    print(f"and {work / seconds / peak:.0%} of the warm peak of {peak / 1e9:.0f}\n")
    by_part(session, once)
    by_kernel(session, once, options.rounds)


def timed(once: Callable[[], Any]) -> float:
    """Return the CPU seconds of this process for one call."""
    began = time.process_time()
    once()
    return time.process_time() - began


def ways_of(dtype: torch.dtype) -> list[Callable[..., torch.Tensor]]:
    """Return the products that there are here: torch's own and, where it can be had, oneDNN's."""
    return [onednn_linear.plain, *([] if onednn_linear.refused(dtype) else [onednn_linear.product])]


def warm_peak(dtype: torch.dtype) -> float:
    """Return the rate of the faster of two products of middling size, in FLOP for a CPU second, after a second of work."""
    rows, weight = torch.ones(1024, 576, dtype=dtype), torch.ones(1536, 576, dtype=dtype)
    until = time.perf_counter() + 1
    while time.perf_counter() < until:
        for way in ways_of(dtype):
            way(rows, weight)
    best = min(timed(functools.partial(way, rows, weight)) for way in ways_of(dtype) for _ in range(50))
    return 2 * 1024 * 576 * 1536 / best


Product = tuple[torch.Tensor, torch.Tensor]


def attainable(session: Any, shapes: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Return (floating-point operations, CPU seconds) of the products of a step, the best of three rounds by the faster way."""
    products = [product for tokens, trained in shapes for product in products_of(session, tokens, trained)]
    work = sum(2 * rows.shape[0] * rows.shape[1] * weight.shape[0] for rows, weight in products)

    def all_by(way: Callable[..., torch.Tensor]) -> None:
        for rows, weight in products:
            way(rows, weight)

    with torch.no_grad():
        ways = ways_of(session.passes.adapter.base.dtype)
        best = min(timed(functools.partial(all_by, way)) for _ in range(3) for way in ways)
    return work, best


def products_of(session: Any, tokens: int, trained: int) -> list[Product]:
    """Return the operands of a batch's products, with the layers' own weights: forward, back, and for what is trained."""
    dtype, head = session.passes.adapter.base.dtype, session.passes.head_layer
    given = functools.cache(lambda count, width: torch.ones(count, width, dtype=dtype))
    found: list[Product] = []
    for number, (_, layer) in enumerate(session.passes.kernels.layers()):
        out, width = layer.weight.shape
        rows, back = given(tokens, width), given(tokens, out)
        found += [(rows, layer.weight), *([(back, layer.weight.t())] if number else [])]
        if layer.weight.requires_grad:
            found.append((back.t(), rows.t()))
        if layer.down is not None and layer.up is not None:
            thin, down, up = given(tokens, len(layer.down)), layer.down.to(dtype), layer.up.to(dtype)
            found += [
                (rows, down),
                (thin, up),
                (back, up.t()),
                (thin, down.t()),
                (thin.t(), rows.t()),
                (thin.t(), back.t()),
            ]
    if head is not None:
        found += [
            (given(trained, head.weight.shape[1]), head.weight),
            (given(trained, len(head.weight)), head.weight.t()),
        ]
    return found


# -- by part ------------------------------------------------------------------------------------------------------------


def by_part(session: Any, once: Callable[[], float]) -> None:
    """Print the time of each part of a step as torch's profiler has it."""
    from torch.profiler import ProfilerActivity, profile

    once()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        began = time.perf_counter()
        once()
        whole = 1e3 * (time.perf_counter() - began)
    vocabulary = session.adapter.base.config.get_text_config().vocab_size
    parts: dict[str, list[float]] = {}
    for event in seen.key_averages(group_by_input_shape=True):
        found = parts.setdefault(_part(event.key, event.input_shapes or [], vocabulary), [0.0, 0])
        found[0] += event.self_cpu_time_total / 1e3
        found[1] += event.count
    print(f"{'part':34}{'ms':>9}{'calls':>9}")
    for name, (spent, calls) in sorted(parts.items(), key=lambda item: -item[1][0]):
        print(f"{name:34}{spent:9.1f}{calls:9.0f}")
    outside = whole - sum(spent for spent, _ in parts.values())
    print(f"{'Python outside of operations':34}{outside:9.1f}")
    print(f"{'the step, profiled':34}{whole:9.1f}\n")


def _part(name: str, shapes: list[list[int]], vocabulary: int) -> str:
    sizes = [size for shape in shapes for size in shape]
    if any(word in name for word in ("_linear_pointwise", "::mm", "addmm", "::bmm", "matmul")):
        if vocabulary in sizes:
            return "products of the head"
        return (
            "products of adapters" if any(len(s) == 2 and min(s) <= _THIN for s in shapes) else "products of the blocks"
        )
    if "attention" in name:
        return "attention, back" if "backward" in name else "attention, forward"
    if vocabulary in sizes:
        return "softmax and loss"
    if "adam" in name or "foreach" in name:
        return "optimizer and clipping"
    if any(word in name for word in ("copy", "cat", "clone", "index", "fill", "zero", "gather", "scatter")):
        return "copies and casts"
    if any(
        word in name
        for word in ("view", "transpose", "reshape", "slice", "select", "expand", "split", "::t", "empty", "as_strided")
    ):
        return "views and allocation"
    return "autograd" if "Backward" in name or "autograd" in name else "norms, activations, rotary, sums"


# -- by kernel ------------------------------------------------------------------------------------------------------------


def by_kernel(session: Any, once: Callable[[], float], rounds: int) -> None:
    """Print what each kernel makes of the step's CPU seconds where the others are on, and what a trial of it alone says."""
    passes, kernels, chosen = session.passes, session.passes.kernels, session.passes.kernels.on
    there = choosing.possible(passes, passes.adapter.base.dtype)
    tried = trial.speeds(kernels, passes.head_layer, there, like=next(passes.adapter.base.parameters()))
    ways = {"none": frozenset(), "all": there, "chosen": chosen}
    ways |= {name: there - {name} for name in NAMES if name in there}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    losses: dict[str, float] = {}
    for number in range(rounds):
        for name in list(ways) if number % 2 == 0 else list(ways)[::-1]:
            kernels.on = ways[name]
            began = time.process_time()
            losses[name] = once()
            spent[name].append(time.process_time() - began)
    kernels.on = chosen
    print(f"on {rule.kind(passes.adapter.base.dtype, passes.device)}")
    print(f"{'kernels':10}{'CPU s':>8}{'times as fast':>15}{'(range)':>16}{'loss off by':>14}")
    for name in ("none", "all", "chosen"):
        told = _ratio(spent["none"], spent[name])
        print(f"{name:10}{statistics.median(spent[name]):8.3f}{told}{abs(losses[name] - losses['none']):14.1e}")
    print(f"{'a step with it, of one with all others':38}{'':9}{'':>16}{'in a trial alone':>18}")
    for name in ways.keys() & there:
        print(f"  {name:16}{_ratio(spent[name], spent['all'])}{tried[name]:18.2f}")
    if lost := rule.loses(chosen, tried):
        print(f"the rule loses here: {', '.join(lost)}")


def _ratio(plain: Sequence[float], mine: Sequence[float]) -> str:
    ratios = [a / b for a, b in zip(plain, mine, strict=True)]
    between = f"({min(ratios):.2f} to {max(ratios):.2f})"
    return f"{statistics.median(ratios):15.3f}{between:>16}"


if __name__ == "__main__":
    main()
