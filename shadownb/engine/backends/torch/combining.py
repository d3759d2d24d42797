"""Several trained models made one: adapters by peft's own ways, whole models by the same functions on what they changed.

Whole models are gone through tensor by tensor, so that one tensor of each is in memory at a time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from peft.utils.merge_utils import dare_linear, dare_ties, task_arithmetic, ties

from shadownb.engine.backends.torch.quiet import quiet_progress_bars
from shadownb.engine.gguf.tensors import Tensors, write_tensors
from shadownb.engine.ports.model_files import Mix
from shadownb.errors import ConfigError, ModelError

_NAME = "merged"


def adapters(module: Any, folders: Sequence[Path], target: Path, mix: Mix) -> None:
    """Write one adapter made of several LoRA adapters of one base."""
    made: Any = None
    names = [f"a{number}" for number in range(len(folders))]
    for name, folder in zip(names, folders, strict=True):
        if made is None:
            made = PeftModel.from_pretrained(module, str(folder), adapter_name=name)
        else:
            made.load_adapter(str(folder), adapter_name=name)
    options: dict[str, Any] = {"density": mix.density} if "ties" in mix.method or "dare" in mix.method else {}
    with torch.random.fork_rng():
        torch.manual_seed(mix.seed)  # DARE drops entries by chance
        try:
            made.add_weighted_adapter(names, list(mix.weights), _NAME, combination_type=mix.method, **options)
        except ValueError as error:
            raise ModelError(
                f"method={mix.method!r} cannot merge these adapters.", why=str(error).splitlines()[0],
                fix="Adapters of different ranks are merged by 'svd' or 'cat'.",
            ) from error  # fmt: skip
    with quiet_progress_bars():
        made.save_pretrained(str(target), selected_adapters=[_NAME])
    inner = target / _NAME
    for file in list(inner.iterdir()):
        shutil.move(str(file), target / file.name)
    inner.rmdir()


def whole(
    folders: Sequence[Path],
    base: Path | None,
    target: Path,
    mix: Mix,
) -> None:
    """Write one model made of several of one architecture; ``base`` is what they were trained from, where the method needs it."""
    if mix.method in ("ties", "dare_linear", "dare_ties") and base is None:
        raise ConfigError(
            f"method={mix.method!r} merges what each model changed, for which it needs what they were trained from.",
            fix="Give it: base='the-base'.",
        )
    if mix.method == "slerp" and len(folders) != 2:
        raise ConfigError(
            f"method='slerp' goes from one model to another, and {len(folders)} were given.", fix="Give two."
        )
    opened = [Tensors.of_folder(folder) for folder in folders]
    ground = Tensors.of_folder(base) if base is not None else None
    try:
        names = list(opened[0])
        for other, folder in zip(opened[1:], folders[1:], strict=True):
            odd = next((n for n in names if n not in other or other.shape(n) != opened[0].shape(n)), None)
            if odd is not None or len(list(other)) != len(names):
                raise ModelError(f"{folder} is of another shape than {folders[0]}: {odd or 'it has other tensors'}.")
        generator = torch.Generator().manual_seed(mix.seed)

        def read(name: str) -> Any:
            parts = [torch.from_numpy(each.read(name)) for each in opened]
            start = None if ground is None else torch.from_numpy(ground.read(name))
            return _combined(parts, start, mix, generator).numpy().astype(np.float32)

        write_tensors(target / "model.safetensors", {name: ("F32", opened[0].shape(name)) for name in names}, read)
    finally:
        for each in (*opened, *([ground] if ground is not None else [])):
            each.__exit__()
    for file in folders[0].iterdir():
        if file.suffix in (".json", ".jinja", ".model", ".txt") and "index" not in file.name:
            shutil.copy(file, target / file.name)
    config = target / "config.json"
    said = json.loads(config.read_text(encoding="utf-8"))
    said[next((key for key in ("dtype", "torch_dtype") if key in said), "dtype")] = "float32"
    config.write_text(json.dumps(said, indent=2), encoding="utf-8")


def _combined(
    parts: list[torch.Tensor],
    base: torch.Tensor | None,
    mix: Mix,
    draw: Any,
) -> torch.Tensor:
    factors = torch.tensor(list(mix.weights), dtype=torch.float32)
    if mix.method == "slerp":
        return _slerp(parts[0], parts[1], float(factors[1] / factors.sum()))
    if base is None:
        share = factors / factors.sum()
        return sum((part * factor for part, factor in zip(parts, share, strict=True)), torch.zeros_like(parts[0]))
    changes = [part - base for part in parts]
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(1 << 62, (1,), generator=draw)))
        if mix.method == "ties":
            added = ties(changes, factors, mix.density)
        elif mix.method == "dare_linear":
            added = dare_linear(changes, factors, mix.density)
        elif mix.method == "dare_ties":
            added = dare_ties(changes, factors, mix.density)
        else:
            added = task_arithmetic(changes, factors / factors.sum())
    found: torch.Tensor = base + added
    return found


def _slerp(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    """Return what lies ``share`` of the way from one to the other along the arc between their directions."""
    a, b = one.flatten().double(), other.flatten().double()
    cosine = float((a @ b) / (a.norm() * b.norm()).clamp_min(1e-12))
    if abs(cosine) > 0.9995:  # nearly one direction: the arc is a line
        return one + share * (other - one)
    angle = float(np.arccos(cosine))
    found: torch.Tensor = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    return found.reshape(one.shape).float()
