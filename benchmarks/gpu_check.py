"""What can only be seen on a CUDA machine, in at most eight minutes: ``make gpu-check [WHEELS=folder]``.

1. Every method in bf16, the main ones in fp32: trains, stops and resumes to the same losses, reloads to the same loss, leaves the
   base as it was; measured peak memory beside the estimate.
2. QLoRA's gradients beside LoRA's on the same weights taken out of their 4 bits.
3. SFT and DPO beside trl on the same rows, paired.

The model has the shapes of SmolLM2-135M and random weights, so neither a hub nor a package with weights is needed. The torch and
the packages that are there are used as they are; what is missing is installed from ``WHEELS`` (``make gpu-wheels`` fills such a
folder, under 50 MiB) into a folder of its own. A row whose package is missing says "not run". Where there is no GPU the script
says so, claims nothing, and ends with 0; it ends with 1 where a row is wrong.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 480
# Of importing module names, the packages that hold them; torch and transformers must be there.
PACKAGES = {
    "accelerate": "accelerate", "bitsandbytes": "bitsandbytes", "click": "click", "datasets": "datasets", "dill": "dill",
    "filelock": "filelock", "gguf": "gguf", "jinja2": "jinja2", "multiprocess": "multiprocess", "pandas": "pandas",
    "peft": "peft", "psutil": "psutil", "pydantic": "pydantic", "pydantic_core": "pydantic_core", "trl": "trl",
    "annotated_types": "annotated_types", "typing_inspection": "typing_inspection", "yaml": "PyYAML", "xxhash": "xxhash",
}  # fmt: skip
NEEDED = ("torch", "transformers", "peft", "accelerate", "pydantic", "filelock", "yaml", "psutil", "jinja2", "pytest")
MATRIX = (
    "lora", "qlora", "dora", "miss", "shira", "adapter", "full", "bitfit", "prompt", "ptuning", "cpt", "dpo", "kto",
)  # fmt: skip
IN_32_BITS = ("lora", "full", "dpo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", default="", help="folder of wheels to install missing packages from")
    parser.add_argument(
        "--device", default="cuda", help="cpu tries the script itself on a small model, and measures nothing"
    )
    parser.add_argument("--methods", nargs="*", default=MATRIX)
    parser.add_argument("--parts", nargs="*", default=("matrix", "gradients", "sft", "dpo"))
    parser.add_argument("--part", choices=tuple(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        PARTS[options.part](options)
        return
    sys.exit(check(options))


def check(options: argparse.Namespace) -> int:
    """Run the parts one after the other, print one table, and return the exit status."""
    begun = time.monotonic()
    if importlib.util.find_spec("torch") is None:
        print(f"gpu-check: no torch in {sys.executable}, so nothing was checked.")
        return 0
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            print("gpu-check: no CUDA device here, so nothing was checked and nothing is claimed.")
            return 0
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as work:
        environment = surroundings(Path(work), options.wheels)
        missing = lacking(NEEDED, environment)
        if missing:
            print(
                f"gpu-check: not run, since {', '.join(missing)} is missing; make gpu-wheels fills a folder for WHEELS=."
            )
            return 1
        print(versions(options.device, environment))
        model = Path(work) / "model"
        rows = [
            {
                "part": "model",
                "row": "random weights of the 135M shapes",
                **run_one("model", options, model, environment, 60),
            }
        ]
        plan: list[tuple[str, Callable[[float], Iterator[dict[str, Any]]]]] = [
            ("matrix", lambda left: part("matrix", options, model, environment, min(left, 270))),
            ("gradients", lambda left: part("gradients", options, model, environment, min(left, 60))),
            ("sft", lambda left: beside_trl("sft.py", options, model, environment, min(left, 90))),
            ("dpo", lambda left: beside_trl("dpo.py", options, model, environment, min(left, 90))),
        ]
        for name, start in [entry for entry in plan if entry[0] in options.parts]:
            for row in start(LIMIT_S - (time.monotonic() - begun)):
                rows.append({"part": name, **row})
                print(line(rows[-1]), flush=True)
    bad = [row for row in rows if row["result"] == "WRONG"]
    left_out = [row for row in rows if row["result"] == "not run"]
    right, seconds = len(rows) - len(bad) - len(left_out), time.monotonic() - begun
    print(f"\n{right} right, {len(bad)} wrong, {len(left_out)} not run, {seconds:.0f} s")
    return 1 if bad else 0


def line(row: dict[str, Any]) -> str:
    """Return one row of the table."""
    return f"{row['part']:10} {row['row']:22} {row['result']:8} {row.get('said', '')}"


# -- what is there ----------------------------------------------------------------------------------------------------------


def surroundings(work: Path, wheels: str) -> dict[str, str]:
    """Return the environment of the parts: this checkout, what the wheels add, a home of its own, no hub."""
    paths = [str(ROOT)]
    if wheels:
        extra = work / "packages"
        lacking = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
        for package in lacking:
            command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--find-links", wheels]
            done = subprocess.run(
                [*command, "--target", str(extra), package], capture_output=True, text=True, check=False
            )
            if done.returncode:
                print(f"gpu-check: {package} is not in {wheels}")
        paths.append(str(extra))
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "SHADOWNB_HOME": str(work / "home"),
        "HF_HUB_OFFLINE": "1",
        "CI": "1",  # trl sends telemetry unless it is set
    }


def lacking(modules: tuple[str, ...], environment: dict[str, str]) -> list[str]:
    """Return those of these modules that a part could not import."""
    code = f"import importlib.util\nprint(*[name for name in {modules!r} if importlib.util.find_spec(name) is None])"
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return found.stdout.split()


def versions(device: str, environment: dict[str, str]) -> str:
    """Return card and versions, as the parts see them."""
    code = (
        "import importlib.metadata as m\n"
        "names = ('torch', 'transformers', 'peft', 'trl', 'accelerate', 'bitsandbytes', 'datasets')\n"
        "def version(n):\n    try: return m.version(n)\n    except m.PackageNotFoundError: return 'missing'\n"
        "print(', '.join(f'{n} {version(n)}' for n in names))"
    )
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    if device == "cpu":
        card = "the CPU (this tries the script; it says nothing about a GPU)"
    else:
        import torch

        facts = torch.cuda.get_device_properties(0)
        card = f"{facts.name}, {facts.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"
    return f"on {card}; Python {platform.python_version()}; {found.stdout.strip()}\n"


# -- parts in processes of their own ------------------------------------------------------------------------------------------


def part(
    name: str, options: argparse.Namespace, model: Path, environment: dict[str, str], seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a part as it finds them; what it had no time for, or broke off at, is a row that says so."""
    command = [sys.executable, __file__, "--part", name, "--model", str(model), "--device", options.device]
    command += ["--methods", *options.methods]
    if seconds <= 0:
        yield {"row": "all", "result": "not run", "said": "no time was left"}
        return
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    import threading

    killed = threading.Timer(seconds, process.kill)
    killed.start()
    noise: list[str] = []
    reader = threading.Thread(target=lambda: noise.extend(process.stderr or ()), daemon=True)
    reader.start()
    told = False
    for text in process.stdout or ():
        if text.startswith("ROW "):
            told = True
            yield json.loads(text.removeprefix("ROW "))
    status = process.wait()
    in_time = killed.is_alive()
    killed.cancel()
    reader.join(timeout=5)
    if not in_time:
        yield {"row": "the rest", "result": "not run", "said": f"{seconds:.0f} s were over"}
    elif status or not told:
        yield {"row": "the rest", "result": "WRONG", "said": " ".join(noise[-3:]).strip()[-300:]}


def run_one(
    name: str, options: argparse.Namespace, model: Path, environment: dict[str, str], seconds: float
) -> dict[str, Any]:
    """Return the one row of a part."""
    return list(part(name, options, model, environment, seconds))[-1]  # to its end: until then its clock runs on


def beside_trl(
    script: str, options: argparse.Namespace, model: Path, environment: dict[str, str], seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield a row a contender of a benchmark, with ratio and the largest difference of a loss."""
    missing = lacking(("trl", "datasets"), environment)
    if missing or seconds <= 10:
        yield {
            "row": "beside trl",
            "result": "not run",
            "said": f"{', '.join(missing)} is missing" if missing else "no time was left",
        }
        return
    rounds, steps = ("2", "8") if options.device == "cuda" else ("1", "2")
    # In fp32 kernels add in another order than on a CPU; tf32 stays off, as torch has it by default.
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / script),
        "--rounds",
        rounds,
        "--steps",
        steps,
        "--allowed",
        "2e-3",
    ]
    command += ["--model", str(model), "--device", options.device]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        yield {"row": "beside trl", "result": "not run", "said": f"{seconds:.0f} s were over"}
        return
    if done.returncode:
        yield {"row": "beside trl", "result": "WRONG", "said": (done.stdout + done.stderr).strip()[-300:]}
        return
    void = "VOID" in done.stdout
    difference = next((text for text in done.stdout.splitlines() if text.startswith("largest difference")), "")
    for text in done.stdout.splitlines():
        if text.startswith("trl") and " x " in text:
            name, ratio = text[:40].split("  ")[0], text[: text.rindex(")") + 1].split("  ")[-2:]
            yield {
                "row": name,
                "result": "WRONG" if void else "right",
                "said": f"ShadowNB is {' '.join(ratio).strip()}; {difference}",
            }


def tell(row: str, right: bool | None, said: str) -> None:
    """Hand a row of the table to the process that prints it; ``right`` None is a row that was not run."""
    result = "not run" if right is None else "right" if right else "WRONG"
    print("ROW " + json.dumps({"row": row, "result": result, "said": said}), flush=True)


def make_model(options: argparse.Namespace) -> None:
    """Write the random model, for a CPU a small one."""
    sys.path.insert(0, str(ROOT))
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.engine.rendering_tokenizers import byte_tokenizer
    from tests.tiny_models import TEMPLATE

    tokenizer = byte_tokenizer(TEMPLATE)
    end = tokenizer.eos_token_id
    shapes = (576, 1536, 30, 9, 3, 49152) if options.device == "cuda" else (64, 128, 2, 4, 2, len(tokenizer))
    for folder, biases in ((options.model, False), (f"{options.model}-biased", True)):
        torch.manual_seed(0)
        hidden, inner, layers, heads, key_heads, words = shapes
        config = LlamaConfig(
            hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=key_heads, vocab_size=words, max_position_embeddings=8192, tie_word_embeddings=True,
            attention_bias=biases, bos_token_id=None, eos_token_id=end, pad_token_id=end,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    tell("made", True, f"{hidden} wide, {layers} layers")


# -- the matrix -------------------------------------------------------------------------------------------------------------


def matrix(options: argparse.Namespace) -> None:
    """Tell a row a method and number format."""
    formats = [(method, "bfloat16") for method in options.methods]
    formats += [(method, "float32") for method in options.methods if method in IN_32_BITS]
    for method, dtype in formats:
        name = f"{method} {dtype}"
        if method == "qlora" and importlib.util.find_spec("bitsandbytes") is None:
            tell(name, None, "bitsandbytes is missing")
            continue
        try:
            faults, said = one_method(method, dtype, options)
        except Exception as error:
            tell(name, False, f"{type(error).__name__}: {error}"[:300])
        else:
            tell(name, not faults, "; ".join([*faults, said]))


def one_method(method: str, dtype: str, options: argparse.Namespace) -> tuple[list[str], str]:
    """Train, stop, resume and reload one method; return what was wrong, and the figures."""
    import pytest

    import shadownb as snb
    from tests.engine.methods_data import stop_after

    spec = snb.methods.get(method)
    source = f"{options.model}-biased" if method == "bitfit" else options.model
    load: dict[str, Any] = {"device": options.device, "dtype": dtype, "max_length": 1024}
    if method == "qlora":
        load["quantize"] = "4bit"
    rows = rows_for(spec.data_formats)
    settings: dict[str, Any] = {
        "method": method, "max_steps": 12, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "save_steps": 4,
        "warmup_steps": 0, "sample_max_new_tokens": 0, "on_divergence": "continue", "background": True,
    }  # fmt: skip
    model = snb.load(source, **load)
    base = model.loss(held_out())
    whole = model.train(rows, **settings).wait(raise_on_failure=True)
    trained, untouched = model.loss(held_out()), model.loss(held_out(), use="base")
    model.unload()

    stopped = snb.load(source, **load)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 5)
        part_run = stopped.train(rows, **settings).wait(raise_on_failure=False)
    stop_step, stop_status = part_run.step, part_run.status
    stopped.unload()
    again = snb.runs.load(part_run.id)
    again.resume()
    again.wait(raise_on_failure=True)
    reloaded = snb.load(again.id, device=options.device)
    loss_again = reloaded.loss(held_out())
    reloaded.unload()

    close = 1e-4 if dtype == "float32" else 2e-2  # some CUDA kernels add in an order of their own
    apart = max(abs(a - b) / max(1.0, abs(a)) for a, b in zip(whole.losses(), again.losses(), strict=True))
    faults = []
    if not whole.losses()[-1] < whole.losses()[0] and method not in ("dpo", "kto"):
        faults.append(f"learned nothing: {whole.losses()[0]:.3f} to {whole.losses()[-1]:.3f}")
    if stop_status != "stopped":
        faults.append(f"it was to stop at step 5, and {stop_status} at {stop_step}")
    if apart > close:
        faults.append(f"the resume left the curve by {apart:.1e}")
    if abs(loss_again - trained) > close * max(1.0, trained):
        faults.append(f"reloaded {loss_again:.4f}, trained {trained:.4f}")
    # A 4-bit base may be computed by another kernel once it was packed for inference.
    if abs(untouched - base) > (1e-3 if method == "qlora" else 1e-6):
        faults.append(f"the base changed: {base:.6f} to {untouched:.6f}")
    peak, estimate = max(m["peak_memory_gb"] for m in whole.metrics), whole.estimated_memory_gb or 0.0
    return faults, (
        f"loss {whole.losses()[0]:.3f} to {whole.losses()[-1]:.3f}, stopped at {stop_step}, resume apart {apart:.1e}, "
        f"peak {peak:.2f} GB, estimate {estimate:.2f} ({estimate / peak:.0%})"
        if peak
        else "no peak was measured"
    )


def rows_for(formats: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return rows of a shape that a method takes, made from the shipped task."""
    import shadownb as snb

    talks = [row["messages"] for row in snb.Dataset.sample("support-triage").canonical_rows()[:48]]
    if "chat" in formats:
        return [{"messages": talk} for talk in talks]
    if formats == ("text",):
        return [{"text": talk[-2]["content"] + "\n" + talk[-1]["content"]} for talk in talks]
    wrong = [talk[-1] for talk in (*talks[1:], talks[0])]
    if "unpaired_preference" in formats and "preference" not in formats:
        return [{"prompt": t[:-1], "completion": [t[-1]], "label": n % 2 == 0} for n, t in enumerate(talks)]
    return [
        {"prompt": t[:-1], "chosen": [t[-1]], "rejected": [w]} for t, w in zip(talks, wrong, strict=True) if t[-1] != w
    ]


def held_out() -> list[dict[str, Any]]:
    """Return rows that no run trains."""
    import shadownb as snb

    return list(snb.Dataset.sample("support-triage", split="heldout").canonical_rows()[:8])


# -- QLoRA's gradients --------------------------------------------------------------------------------------------------------


def gradients(options: argparse.Namespace) -> None:
    """Tell how far QLoRA's gradients are from LoRA's on the weights that the 4 bits stand for."""
    if importlib.util.find_spec("bitsandbytes") is None:
        tell("qlora", None, "bitsandbytes is missing")
        return
    import bitsandbytes
    import torch

    import shadownb as snb
    from shadownb.engine.backends.torch import adapters
    from shadownb.engine.config import TrainConfig

    config = TrainConfig(method="qlora", lora_r=8)
    model = snb.load(options.model, device=options.device, dtype="bfloat16", quantize="4bit", max_length=1024)
    model.generate("Hello", max_new_tokens=2)  # a pass in evaluation mode may pack the weights for inference
    adapter = adapters.prepare(model.module, None, config, adapters.Start("base"))
    ids = torch.tensor([model.renderer.render(held_out()[0]).input_ids[:256]], device=options.device)

    def of(module: Any) -> dict[str, torch.Tensor]:
        adapter.unfreeze(config)
        generator = torch.Generator().manual_seed(0)
        for name, parameter in adapter.owned().items():
            with torch.no_grad():
                if "lora_B" in name:  # as nothing it would hide the gradient of A
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 1e-2)
            parameter.grad = None
        module.train()
        module(input_ids=ids, labels=ids).loss.backward()
        return {name: p.grad.float().cpu() for name, p in adapter.owned().items()}

    found = of(adapter.module)
    for layer in [m for m in adapter.module.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]:
        weight = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(torch.bfloat16)
        layer.forward = lambda inputs, weight=weight, bias=layer.bias: torch.nn.functional.linear(inputs, weight, bias)
    expected = of(adapter.module)
    cosines = [float(torch.cosine_similarity(found[n].flatten(), expected[n].flatten(), dim=0)) for n in expected]
    norms = [float(found[n].norm() / expected[n].norm()) for n in expected]
    right = min(cosines) > 0.99 and min(norms) > 0.95 and max(norms) < 1.05
    tell(
        "qlora",
        right,
        f"{len(expected)} tensors: least cosine {min(cosines):.4f}, norms {min(norms):.3f} to {max(norms):.3f}",
    )


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {"model": make_model, "matrix": matrix, "gradients": gradients}

if __name__ == "__main__":
    main()
