"""What a resume needs besides the weights, in safetensors and JSON: optimizer, scheduler, positions.

transformers' Trainer writes pickles here (``optimizer.pt``, ``scheduler.pt``, ``rng_state.pth``, ``training_args.bin``);
a checkpoint that someone sends you must not be able to run code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

OPTIMIZER = "optimizer.safetensors"
OPTIMIZER_GROUPS = "optimizer.json"
SCHEDULER = "scheduler.json"
PROGRESS = "progress.json"
SCALER = "scaler.json"


@dataclass
class Progress:
    """What goes on counting over a resume; part of every checkpoint."""

    elapsed_s: float = 0.0
    tokens: int = 0
    trained_tokens: int = 0
    best_eval_loss: float | None = None
    best_step: int | None = None
    patience_eval_loss: float | None = None  # what the next evaluation must be below by the threshold
    evals_without_improvement: int = 0
    evaluated_step: int | None = None  # newest step that was evaluated, and sampled: a stop may come before either
    sampled_step: int | None = None
    loss_since_log: list[float] = field(default_factory=list)
    metrics_since_log: dict[str, list[float]] = field(default_factory=dict)
    skipped_steps: int = 0  # whose gradients were infinite by the scale of fp16

    def forget_evaluations(self) -> None:
        """Count evaluations anew: those of another run were of other rows, and its best step has no checkpoint here."""
        self.best_eval_loss = self.best_step = self.patience_eval_loss = None
        self.evaluated_step = self.sampled_step = None
        self.evals_without_improvement = 0


def save_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Write an optimizer's state: tensors to safetensors, the rest to JSON."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    storages: set[int] = set()
    plain: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensor = value.detach().cpu().contiguous()
                # A copy only where needed: safetensors refuses tensors that share memory (8-bit optimizers share maps).
                shared = tensor.untyped_storage().data_ptr() in storages
                storages.add(tensor.untyped_storage().data_ptr())
                tensors[f"{index}.{name}"] = tensor.clone() if shared else tensor
            else:
                plain.setdefault(str(index), {})[name] = value
    save_file(tensors, folder / OPTIMIZER)
    content = {"param_groups": state["param_groups"], "state": plain}
    (folder / OPTIMIZER_GROUPS).write_text(json.dumps(content, default=_plain_number), encoding="utf-8")


def load_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Put a state written by :func:`save_optimizer` back, bit for bit."""
    content = json.loads((folder / OPTIMIZER_GROUPS).read_text(encoding="utf-8"))
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in content["state"].items()}
    for key, tensor in load_file(folder / OPTIMIZER).items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    groups = content["param_groups"]
    for group in groups:
        if isinstance(group.get("betas"), list):
            group["betas"] = tuple(group["betas"])
    optimizer.load_state_dict({"state": state, "param_groups": groups})


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
