"""What the benchmarks that compare trainers share: a process for each contender, and trl's trainers set up to be compared.

Only the standard library is imported at the top: the process that compares stays small, and this file also runs in an
environment of another project.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Result = dict[str, Any]
Results = dict[str, list[Result]]

_MARK = "RESULT "
_ALONE = {"CI": "1", "HF_HUB_OFFLINE": "1"}  # trl sends telemetry unless CI is set; nothing is fetched while timing


def options_for(about: str | None, *, steps: int, help: str | None = None) -> argparse.ArgumentParser:
    """Return the options of a comparison: ``rounds``, ``steps``, and in a contender's own process its name, ``contender``.

    Parameters
    ----------
    about
        The script's docstring.
    steps, help
        Default and help of ``--steps``.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=steps, help=help)
    parser.add_argument("--model", default="smollm2-135m", help="what both train: a name, or a folder")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--allowed", type=float, help="largest difference of a loss with which the comparison stands")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    return parser


def repeated(options: argparse.Namespace) -> list[str]:
    """Return the options that a contender's own process gets as well."""
    return ["--steps", str(options.steps), "--model", options.model, "--device", options.device]


def in_process(
    script: str, arguments: Sequence[str], *, python: str = sys.executable, environment: Mapping[str, str] | None = None
) -> Result:
    """Run a script in a process of its own and return what it gave to :func:`tell`; its failure ends the comparison."""
    environment = {**os.environ, **_ALONE, **(environment or {})}
    command = [python, script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    for line in done.stdout.splitlines():
        if line.startswith(_MARK):
            return dict(json.loads(line.removeprefix(_MARK)))
    sys.exit(f"{' '.join(arguments)} failed:\n{done.stdout[-500:]}\n{done.stderr[-3000:]}")


def tell(result: Result) -> None:
    """Hand a contender's result to the process that compares."""
    print(_MARK + json.dumps(result), flush=True)


def run_rounds(
    names: Sequence[str], rounds: int, run: Callable[[str], Result], said: Callable[[Result], str]
) -> Results:
    """Return the results of each contender by round; every other round runs them in the opposite order."""
    results: Results = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            results[name].append(run(name))
            print(f"round {number + 1}: {name}: {said(results[name][-1])}", flush=True)
    return results


def median(results: Sequence[Result], key: str) -> float:
    """Return the median of a value over the rounds."""
    return float(statistics.median(result[key] for result in results))


def ratio(ours: Sequence[Result], theirs: Sequence[Result], key: str) -> str:
    """Return how many times ours is theirs, paired by round: the median and the range."""
    pairs = [a[key] / b[key] for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(pairs):9.2f} x  ({min(pairs):.2f} to {max(pairs):.2f})"


def print_curves(results: Results, keys: Sequence[str], unit: str, allowed: float) -> None:
    """Print the contenders' curves side by side and say whether the losses agree; the first contender is the measure.

    Parameters
    ----------
    keys
        Lists in a result with a value for each step, ``losses`` first.
    unit
        What the columns are.
    allowed
        Largest difference of a loss with which the comparison stands.
    """
    names = list(results)
    widths = [max(24, len(name) + 2) for name in names]
    heads = [f"{name:>{width}}" for name, width in zip(names, widths, strict=True)]
    print(f"\n{'step':>6}" + "".join(heads) + f"   ({unit})")
    for step in range(len(results[names[0]][0]["losses"])):
        cells = [" ".join(f"{results[name][0][key][step]:.4f}" for key in keys) for name in names]
        print(f"{step + 1:>6}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))
    measure = results[names[0]][0]["losses"]
    gaps = [abs(a - b) for name in names for r in results[name] for a, b in zip(measure, r["losses"], strict=True)]
    verdict = "" if all(gap < allowed for gap in gaps) else f"  THE CURVES DIFFER BY {allowed:g} OR MORE: VOID"
    print(f"\nlargest difference of a loss: {max(gaps):.1e}{verdict}")


def peak_memory_gb(device: str = "cpu") -> float:
    """Return the most memory this process ever had resident, on a GPU what its tensors took there, in units of 1e9 bytes."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated() / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def shadownb_settings(*, rows_per_step: int, steps: int, rate: float) -> dict[str, Any]:
    """Return the options of a comparison as arguments for a TrainConfig; :func:`trl_settings` says the same to trl."""
    return {
        "learning_rate": rate,
        "max_steps": steps,
        "per_device_train_batch_size": rows_per_step,
        "gradient_accumulation_steps": 1,
        "warmup_steps": 0,
        "sample_max_new_tokens": 0,
    }


def train_shadownb(model: Any, dataset: Any, config: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train in this process, in a home of its own and without checkpoints on the way; returns (metrics, events)."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["SHADOWNB_HOME"] = home
        run = model.train(dataset, background=False, **{**config.changed, "save_steps": 10**6})
        if run.status != "succeeded":
            sys.exit(f"the run {run.status}: {run.error}")
        return run.metrics, list(run.events())


# -- trl's trainers -------------------------------------------------------------------------------------------------


def trl_settings(
    folder: str, *, rows_per_step: int, steps: int, rate: float, checkpointing: bool, device: str = "cpu"
) -> dict[str, Any]:
    """Return what ShadowNB trains with as arguments for a trl config; everything else stays trl's default."""
    return {
        "output_dir": folder,
        "per_device_train_batch_size": rows_per_step,
        "gradient_accumulation_steps": 1,
        "max_steps": steps,
        "learning_rate": rate,
        "weight_decay": 0.01,
        "warmup_steps": 0,
        "lr_scheduler_type": "linear",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "bf16": False,
        "use_cpu": device == "cpu",
        "max_length": 1024,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        **({} if checkpointing else {"gradient_checkpointing": False}),
    }


def in_order(trainer: type[Any]) -> type[Any]:
    """Return a trainer class that takes its rows as they stand, without drawing an order."""
    from torch.utils.data import SequentialSampler

    class InOrder(trainer):  # type: ignore[misc]
        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    return InOrder


def watch() -> Any:
    """Return a trainer callback that keeps ``times`` (seconds, at the end of each step) and ``metrics`` (of each step)."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.times: list[float] = []
            self.metrics: list[dict[str, Any]] = []

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            self.times.append(time.perf_counter())

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in logs:
                self.metrics.append(dict(logs))

    return Watch()
