"""Supervised LoRA training: ShadowNB beside ShadowLM 0.4.12, an SDK for the same job, on the same rows and settings.

Run: ``python benchmarks/shadowlm.py [--steps 3] [--rounds 1] [--setting default none fp32] [--venv PATH]``

ShadowLM needs older libraries (transformers < 4.57, trl < 0.25), so it is installed once into an environment of its own,
with the same torch: about 1.7 GB in the user's cache folder, or at ``--venv``. Its process gets a copy of the same base
weights in fp32, written so that transformers 4.56 reads them right. Before anything is timed, tokens and loss of a row
must be the same in both environments, or the comparison is void and says so.

Both train rank 16, alpha 32, all linear layers, eight rows a step, rate 5e-4 without warm-up. ShadowLM draws its own
adapter start and its own order of these rows, so losses are printed but not compared. Its settings:

- ``default``: as it comes. It checkpoints activations on a base of 24 layers or more (``accelerator="auto"``), and leaves
  trl's bf16 default on, for which its interface has no option; processors without bf16 units emulate it.
- ``none``: ``accelerator="none"``, so without checkpointing; bf16 too.
- ``fp32``: ``none`` with trl's bf16 default changed from outside. Nobody gets this from its interface; it shows how much
  of the difference is the number format.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _contenders import Result, in_process, median, peak_memory_gb, ratio, run_rounds, tell, train_shadownb

VERSION = "0.4.12"
SETTINGS = ("default", "none", "fp32")
ROWS_PER_STEP = 8
SHARED = {
    "lora_r": 16,
    "lora_alpha": 32,
    "per_device_train_batch_size": ROWS_PER_STEP,
    "gradient_accumulation_steps": 1,
    "learning_rate": 5e-4,
    "warmup_steps": 0,
    "max_length": 1024,
}


def main() -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3, help="at least 2, the first is warm-up")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--setting", nargs="+", choices=SETTINGS, default=["default", "fp32"])
    parser.add_argument("--venv", type=Path, default=cache / "shadownb" / "benchmarks" / f"shadowlm-{VERSION}")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        tell(TASKS[options.task](options.folder, options.steps, options.setting[0]))
    else:
        options.steps = max(2, options.steps)
        compare(options, set_up(options.venv))


def compare(options: argparse.Namespace, python: str) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def task(name: str, setting: str = "default", **where: Any) -> Result:
            arguments = ["--task", name, "--folder", folder, "--steps", str(options.steps), "--setting", setting]
            return in_process(__file__, arguments, **where)

        theirs: dict[str, Any] = {
            "python": python,
            "environment": {"HOME": folder},
        }  # it keeps its runs in the home folder
        ours, there = task("prepare"), task("check", **theirs)
        gap = abs(ours["loss"] - there["loss"])
        same = ours["ids"] == there["ids"]
        print("ShadowLM's environment: " + ", ".join(f"{k} {v}" for k, v in there["versions"].items()))
        print(
            f"a row in both: {len(ours['ids'])} tokens, {'equal' if same else 'DIFFERENT'}; "
            f"loss {ours['loss']:.6f} and {there['loss']:.6f}"
        )
        if not same or gap > 1e-3:
            sys.exit("The base is not the same in both environments: VOID")
        settings = {"ShadowNB": None, **{f"ShadowLM, {setting}": setting for setting in options.setting}}
        results = run_rounds(
            list(settings),
            options.rounds,
            lambda name: task("theirs", settings[name], **theirs) if settings[name] else task("ours"),
            lambda result: f"{result['tokens_per_s']:.1f} tokens/s",
        )
    print(f"\n{options.steps * ROWS_PER_STEP} rows, {options.steps} steps, the first not timed")
    print(f"\n{'':20}{'tokens/s':>9}{'a step':>11}{'peak memory':>13}{'ShadowNB is':>13}")
    for name, found in results.items():
        memory = max(result["peak_memory_gb"] for result in found)
        print(
            f"{name:20}{median(found, 'tokens_per_s'):9.1f}{median(found, 'step_s'):9.2f} s{memory:10.2f} GB"
            + ratio(results["ShadowNB"], found, "tokens_per_s")
        )
    print("\nlosses (other starts and orders):")
    for name, found in results.items():
        print(f"{name:20}" + "".join(f"{loss:9.4f}" for loss in found[0]["losses"]))
    if len({result["tokens"] for found in results.values() for result in found}) > 1:
        print("THE CONTENDERS COUNTED DIFFERENT NUMBERS OF TOKENS: VOID")


def set_up(venv: Path) -> str:
    """Install ShadowLM into an environment of its own unless it is there; returns that environment's Python."""
    python = venv / "bin" / "python"
    asked = [str(python), "-c", "from importlib.metadata import version; print(version('shadowlm'))"]
    if python.exists() and subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip() == VERSION:
        return str(python)
    from importlib.metadata import version

    print(f"installing ShadowLM {VERSION} into {venv} (1.7 GB, some minutes)", flush=True)
    torch = version("torch").partition("+")[0]
    for command in (
        [sys.executable, "-m", "venv", str(venv)],
        # torch first and by pip: the pinned version is the CPU build where one is provided.
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", f"torch=={torch}", "uv"],
        [str(python), "-m", "uv", "pip", "install", "-q", "--python", str(python), f"shadowlm=={VERSION}"],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return str(python)


# -- in ShadowNB's environment ----------------------------------------------------------------------------------------


def load_ours() -> tuple[Any, list[dict[str, Any]]]:
    import shadownb as snb

    return snb.load("smollm2-135m", dtype="float32"), snb.Dataset.sample("support-triage").canonical_rows()


def prepare(folder: Path, steps: int, _: str) -> Result:
    """Write base and rows for ShadowLM; returns tokens and loss of the first row."""
    import torch

    model, rows = load_ours()
    base = model.save(folder / "base", fmt="merged")
    # transformers 5 writes these under names that 4.56 does not know; it would take another rope base without a word.
    config = json.loads((base / "config.json").read_text())
    rope = config.pop("rope_parameters")
    if rope["rope_type"] != "default":
        sys.exit(f"no conversion for rope_type={rope['rope_type']!r}")
    config |= {"rope_theta": rope["rope_theta"], "torch_dtype": config.pop("dtype")}
    (base / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((base / "tokenizer_config.json").read_text())
    tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    (base / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "rows.json").write_text(json.dumps(rows[: steps * ROWS_PER_STEP]))
    ids = torch.tensor([model.renderer.render(rows[0]).input_ids])
    with torch.no_grad():
        return {"ids": ids[0].tolist(), "loss": model.module(input_ids=ids, labels=ids).loss.item()}


def train_ours(folder: Path, steps: int, _: str) -> Result:
    import shadownb as snb
    from shadownb.engine.runs.epochs import steps_of_epoch

    model, _rows = load_ours()
    rows = json.loads((folder / "rows.json").read_text())
    config = snb.TrainConfig(**SHARED, max_steps=steps, sample_max_new_tokens=0)
    metrics, _events = train_shadownb(model, snb.Dataset.from_list(rows), config)
    lengths = [len(model.renderer.render(row).input_ids) for row in rows]
    first = steps_of_epoch([[n] for n in range(len(lengths))], ROWS_PER_STEP, config.seed, 0)[0]
    return summary(
        [m["loss"] for m in metrics],
        sum(lengths),
        sum(lengths[index] for index in first),
        metrics[-1]["elapsed_s"] - metrics[0]["elapsed_s"],
    )


# -- in ShadowLM's environment ----------------------------------------------------------------------------------------


def check(folder: Path, steps: int, _: str) -> Result:
    """Return tokens and loss of the first row as ShadowLM's libraries compute them, and their versions."""
    from importlib.metadata import version

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = str(folder / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, torch_dtype="auto")  # as ShadowLM loads
    row = json.loads((folder / "rows.json").read_text())[0]
    ids = tokenizer.apply_chat_template(row["messages"], return_tensors="pt")
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss.item()
    versions = {name: version(name) for name in ("shadowlm", "torch", "transformers", "trl", "peft")}
    return {"ids": ids[0].tolist(), "loss": loss, "versions": versions}


def train_theirs(folder: Path, steps: int, setting: str) -> Result:
    here = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != here]  # or this file would be imported
    shadowlm = importlib.import_module("shadowlm")
    if setting == "fp32":
        trl: Any = importlib.import_module("trl")
        trl.SFTConfig = functools.partial(trl.SFTConfig, bf16=False)
    times: list[float] = []
    seen: list[Any] = []

    def on_step(metric: Any) -> None:
        times.append(time.perf_counter())
        seen.append(metric)

    accelerator = "auto" if setting == "default" else "none"
    model = shadowlm.load(str(folder / "base"), accelerator=accelerator, max_length=1024, verbose=False)
    model.train(
        json.loads((folder / "rows.json").read_text()),
        method="lora",
        output_dir=str(folder / f"run-{setting}"),
        on_step=on_step,
        verbose=False,
        max_steps=steps,
        max_grad_norm=1.0,
        **SHARED,
    )
    return summary([m.loss for m in seen], seen[-1].tokens, seen[0].tokens, times[-1] - times[0])


def summary(losses: list[float], tokens: int, first: int, seconds: float) -> Result:
    """``tokens`` are those of all steps, ``first`` those of the step before the ``seconds`` began."""
    return {
        "losses": losses,
        "tokens": tokens,
        "tokens_per_s": (tokens - first) / seconds,
        "step_s": seconds / (len(losses) - 1),
        "peak_memory_gb": peak_memory_gb(),
    }


TASKS = {"prepare": prepare, "ours": train_ours, "check": check, "theirs": train_theirs}

if __name__ == "__main__":
    main()
