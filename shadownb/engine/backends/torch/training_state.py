"""What a resume needs of torch besides the weights, in safetensors and JSON: the optimizer's state, the scale of fp16.

Trainers commonly write pickles here (``optimizer.pt``, ``scheduler.pt``, ``rng_state.pth``, ``training_args.bin``);
a checkpoint that someone sends you must not be able to run code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from shadownb.engine.backends.texts import other_backend
from shadownb.errors import CheckpointError

OPTIMIZER = "optimizer.safetensors"
OPTIMIZER_GROUPS = "optimizer.json"
SCALER = "scaler.json"


def save_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Write an optimizer's state: tensors to safetensors, by their way through nested dicts, the rest to JSON."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    storages: set[int] = set()

    def without_tensors(values: dict[Any, Any], way: str) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for name, value in values.items():
            key = f"{way}{name}"
            if isinstance(value, dict):  # bitsandbytes keeps its quantised state in a dict of its own
                if inner := without_tensors(value, f"{key}."):
                    plain[str(name)] = inner
            elif isinstance(value, torch.Tensor):
                tensor = value.detach().cpu().contiguous()
                # A copy only where needed: safetensors refuses tensors that share memory (8-bit optimizers share maps).
                shared = tensor.untyped_storage().data_ptr() in storages
                storages.add(tensor.untyped_storage().data_ptr())
                tensors[key] = tensor.clone() if shared else tensor
            else:
                plain[str(name)] = value
        return plain

    plain = without_tensors(state["state"], "")
    save_file(tensors, folder / OPTIMIZER)
    content = {"optimizer": _kind(optimizer), "param_groups": state["param_groups"], "state": plain}
    (folder / OPTIMIZER_GROUPS).write_text(json.dumps(content, default=_plain_number), encoding="utf-8")


def load_optimizer(optimizer: torch.optim.Optimizer, folder: Path, asked: str) -> None:
    """Put a state written by :func:`save_optimizer` back, bit for bit; ``asked`` is the option that gave the optimizer.

    Raises
    ------
    CheckpointError
        It is of another optimizer, or of other parameters.
    """
    content = json.loads((folder / OPTIMIZER_GROUPS).read_text(encoding="utf-8"))
    if content.get("backend", "torch") != "torch":
        raise other_backend(content["backend"], "torch")
    groups = content["param_groups"]
    _check_same(optimizer, asked, content.get("optimizer"), groups, folder)
    plain: dict[str, Any] = content["state"]
    for key, tensor in load_file(folder / OPTIMIZER).items():
        *way, name = key.split(".")
        values = plain
        for part in way:
            values = values.setdefault(part, {})
        values[name] = tensor
    for group in groups:
        if isinstance(group.get("betas"), list):
            group["betas"] = tuple(group["betas"])
    state = {int(index): values for index, values in plain.items()}
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _check_same(
    optimizer: torch.optim.Optimizer, asked: str, kind: str | None, groups: list[Any], folder: Path
) -> None:
    fix = "Give the options of the run that wrote it, or load it with shadownb.load() and train on from there."
    checkpoint = folder.parent.name
    if kind is not None and kind != _kind(optimizer):  # records of earlier versions do not name it
        raise CheckpointError(
            f"The checkpoint {checkpoint} has the state of {kind}, and optim={asked!r} is {_kind(optimizer)} here.",
            why="What one optimizer remembers of past gradients is of no use to another.",
            fix=fix,
        )
    had, have = ([len(group["params"]) for group in each] for each in (groups, optimizer.param_groups))
    if had != have:
        raise CheckpointError(
            f"The checkpoint {checkpoint} has an optimizer's state of {sum(had)} trained tensors; this run trains {sum(have)}.",
            fix=fix,
        )


def _kind(optimizer: torch.optim.Optimizer) -> str:
    inner = type(optimizer)
    return f"{inner.__module__.split('.')[0]}.{inner.__name__}"


def save_json(folder: Path, name: str, content: dict[str, Any]) -> None:
    """Write a small JSON file."""
    (folder / name).write_text(json.dumps(content, default=_plain_number, allow_nan=False), encoding="utf-8")


def load_json(folder: Path, name: str) -> dict[str, Any]:
    """Read a small JSON file."""
    return dict(json.loads((folder / name).read_text(encoding="utf-8")))


def _plain_number(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")
