"""What exports of a tuned SmolLM2-135M are worth: seconds, sizes, KL, adapters, and whether llama.cpp's own tools write the same.

    python benchmarks/export.py formats [RUN]       every format but AWQ and GPTQ: CPU seconds, MB, KL, same token, score
    python benchmarks/export.py packed [RUN]        AWQ and GPTQ
    python benchmarks/export.py adapter [RUN]       LoRA in GGUF: seconds, and greedy texts beside the merged model's
    python benchmarks/export.py rounding            merges in bf16 to the nearest and seeded, after 4, 16 and 60 steps at two rates
    python benchmarks/export.py merges              adapters of two halves of the rows, and models of them, judged before and after
    python benchmarks/export.py official [RUN]      tensors and facts of the f32 file beside those of llama.cpp's own converter

RUN is a run on the shipped task; without it one of 60 steps is made. CPU seconds are this process's and its children's.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import shadownb as snb

HELD_OUT = "heldout"
_STEPS = 60


def cpu() -> float:
    """Return CPU seconds of this process and of children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def rows(part: str) -> Any:
    return snb.Dataset.sample("support-triage", split=part)


def tuned(run: str | None, steps: int = _STEPS, dtype: str = "float32", learning_rate: float = 3e-3) -> Any:
    if run is not None:
        return snb.load(run, dtype=dtype)
    model = snb.load("smollm2-135m", dtype=dtype)
    model.train(
        rows("train"), method="lora", max_steps=steps, learning_rate=learning_rate, lr_scheduler_type="cosine", background=False,
        per_device_train_batch_size=4, gradient_accumulation_steps=1, sample_max_new_tokens=0,
    )  # fmt: skip
    return model


def measured(model: Any, place: Path, scorer: str | None = "json_exact", **options: Any) -> None:
    started = cpu()
    model.export(place, report=False, **options)
    written = cpu() - started
    found = model.export(place, dataset=rows(HELD_OUT), scorer=scorer, **options).quality[0]
    score = "" if found.score is None else f"  score {found.score}  difference {found.difference}"
    speed = "" if found.tokens_per_second is None else f"  {found.tokens_per_second:.0f} tokens/s"
    same, kl = 100 * (found.top1 or 0), "not measured" if found.kl is None else f"{found.kl:.2g}"
    said = f"{found.name:14} {written:6.1f} CPU s  {found.size / 1e6:7.1f} MB  KL {kl}  same {same:.1f} %"
    print(said + speed + score, flush=True)


def formats(run: str | None) -> None:
    model = tuned(run)
    with tempfile.TemporaryDirectory() as place:
        for quant in ("f32", "f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "iq4_nl"):
            measured(model, Path(place) / quant, format="gguf", quant=quant)
        for bits in (16, 8, 4):
            measured(model, Path(place) / f"mlx{bits}", scorer=None, format="mlx", bits=bits)
        measured(model, Path(place) / "merged", scorer=None, format="merged", dtype="bfloat16")


def packed(run: str | None) -> None:
    model = tuned(run)
    with tempfile.TemporaryDirectory() as place:
        for fmt in ("awq", "gptq"):
            measured(model, Path(place) / fmt, scorer=None, format=fmt, calibration=rows("train"))


def adapter(run: str | None) -> None:
    model = tuned(run)
    asked = [row["messages"][:-1] for row in rows(HELD_OUT).canonical_rows()[:24]]
    options: dict[str, Any] = {"system": None, "temperature": 0.0, "max_new_tokens": 32}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        started = cpu()
        model.export(place / "lora", format="gguf-lora", report=False)
        print(
            f"gguf-lora: {cpu() - started:.2f} CPU s, {sum(f.stat().st_size for f in (place / 'lora').glob('*.gguf')) / 1e6:.1f} MB"
        )
        model.export(place / "merged", quant="f32", report=False)
        snb.load(model.source, dtype="float32").export(place / "base", quant="f32", report=False)
        base, merged = (snb.load(str(place / name), backend="llamacpp") for name in ("base", "merged"))
        base.load_adapter(place / "lora", None)
        one, other = ([reply.content for reply in each.chat(asked, **options)] for each in (base, merged))
        equal = sum(a == b for a, b in zip(one, other, strict=True))
        print(f"greedy texts equal to the merged model's: {equal} of {len(asked)}")


def rounding() -> None:
    """A small learning rate leaves changes that plain rounding loses, a large one does not."""
    for learning_rate in (2e-4, 3e-3):
        for steps in (4, 16, 60):
            model = tuned(None, steps, learning_rate=learning_rate)
            with tempfile.TemporaryDirectory() as place:
                for way in ("nearest", "seeded"):
                    options = {"format": "merged", "dtype": "bfloat16", "rounding": way}
                    found = model.export(Path(place) / way, dataset=rows(HELD_OUT), **options).quality[0]
                    said = f"learning rate {learning_rate:g}, {steps} steps, {way}"
                    print(f"{said}: KL {found.kl:.2g} to the model in 32 bits", flush=True)
            model.unload()


def merges() -> None:
    """Two halves of the rows, each trained alone, and what is made of both."""
    every = rows("train").canonical_rows()
    suite = snb.suites.rows(rows(HELD_OUT), "json_exact", name="triage")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, part in (("half-1", every[0::2]), ("half-2", every[1::2])):
            model = snb.load("smollm2-135m", dtype="float32")
            model.train(
                part, max_steps=_STEPS, learning_rate=1e-3, per_device_train_batch_size=4, gradient_accumulation_steps=1,
                sample_max_new_tokens=0, background=False,
            )  # fmt: skip
            model.save(place / name)
            model.save(place / f"{name}-whole", fmt="merged")
            model.unload()
        adapters = [place / "half-1", place / "half-2"]
        wholes = [place / "half-1-whole", place / "half-2-whole"]
        for way, options in (("cat", {}), ("ties", {"density": 0.5}), ("dare_ties", {"density": 0.5})):
            snb.merge(adapters, place / way, way, weights=[0.5, 0.5], suites=suite, **options)
        snb.merge(wholes, place / "slerp", "slerp", weights=[0.5, 0.5], suites=suite)


def official(run: str | None) -> None:
    """Tensors and facts of both writers' files; theirs is fetched when it is first needed (`shadownb export --prepare gguf`)."""
    import gguf
    import numpy as np

    model = tuned(run)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for converter in ("own", "official"):
            model.export(Path(folder) / converter, quant="f32", converter=converter, report=False)
            files.append(gguf.GGUFReader(str(next((Path(folder) / converter).glob("*.gguf")))))
        ours, theirs = ({tensor.name: tensor for tensor in file.tensors} for file in files)
        same = sum(np.array_equal(ours[name].data, theirs[name].data) for name in ours if name in theirs)
        print(f"tensors of the same name and bytes: {same} of {len(theirs)}, ours has {len(ours)}")
        told = [{key: field.contents() for key, field in file.fields.items()} for file in files]
        for key in sorted(told[0].keys() | told[1].keys()):
            if told[0].get(key) != told[1].get(key):
                print(f"  {key}: {str(told[0].get(key))[:100]} | {str(told[1].get(key))[:100]}")


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "formats"
    given = sys.argv[2] if len(sys.argv) > 2 else None
    if what in ("rounding", "merges"):
        {"rounding": rounding, "merges": merges}[what]()
    else:
        {"formats": formats, "packed": packed, "adapter": adapter, "official": official}[what](given)
