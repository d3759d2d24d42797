"""Process and model as they were before a training of trl: it changes both, and says nothing of it.

A run in a thread has neighbours: cells that draw random numbers, another library's settings, the model that goes on answering. What
cannot be put back is what was changed while such a neighbour looked; so trainings of trl in one process come one after the other.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from shadownb.engine.backends.torch.quiet import TRANSFORMERS
from shadownb.engine.inference import WeightsGate
from shadownb.engine.progress_bars import DATASETS, HUB, without_bars

ALONE = threading.RLock()  # held by whoever has settings of the process changed

# Beginnings of environment variables that transformers and accelerate set, or take in the place of what they are told.
_PREFIXES = (
    "ACCELERATE_",
    "FSDP_",
    "TORCHDYNAMO_",
    "TRL_",
    "XLA_",
    "PYTORCH_ENABLE_MPS",
    "WANDB_",
    "HF_MLFLOW",
    "TOKENIZERS_",
)
_LOOK_SECONDS = 0.2
_CLEARED = ("ACCELERATE_", "FSDP_")


@contextlib.contextmanager
def process_as_it_was(check: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Have environment, generators, accelerate's state, verbosity and bars inside the block for oneself, then as before.

    ``check`` is called while another training of trl in this process is waited for.
    """
    while not ALONE.acquire(timeout=_LOOK_SECONDS):
        check()
    with contextlib.ExitStack() as stack:
        stack.callback(ALONE.release)
        stack.enter_context(_environment())
        stack.enter_context(_random_state())
        stack.enter_context(_accelerate_state())
        stack.enter_context(_silence())
        yield


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    before = {name: value for name, value in os.environ.items() if name.startswith(_PREFIXES)}
    for name in before:
        if name.startswith(_CLEARED):  # ACCELERATE_MIXED_PRECISION makes a run of bf16 out of one of fp32
            del os.environ[name]
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(_PREFIXES) and name not in before]:
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _random_state() -> Iterator[None]:
    python, numbers = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)


@contextlib.contextmanager
def _accelerate_state() -> Iterator[None]:
    """Give accelerate a state of its own: once made it decides number format and device of all that come later."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    kinds = (AcceleratorState, GradientState, PartialState)
    before = [dict(kind._shared_state) for kind in kinds]
    for kind in kinds:
        kind._shared_state.clear()
    try:
        yield
    finally:
        for kind, state in zip(kinds, before, strict=True):
            kind._shared_state.clear()
            kind._shared_state.update(state)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep bars and remarks out of the cell; what a user has to know is in the run's journal."""
    import logging

    from transformers.utils import logging as transformers

    verbosity = transformers.get_verbosity()
    loud = {name: logging.getLogger(name).level for name in ("trl", "accelerate", "datasets")}
    transformers.set_verbosity_error()
    for name in loud:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), without_bars(TRANSFORMERS, HUB, DATASETS):
            warnings.filterwarnings("ignore", module=r"(trl|transformers|accelerate|peft|torch)\b")
            yield
    finally:
        transformers.set_verbosity(verbosity)
        for name, level in loud.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def model_as_it_was(module: Any, gate: WeightsGate) -> Iterator[None]:
    """Let a module have its configs, dropout, hooks, forward methods and adapters again that it has now; not its weights."""
    base = module.get_base_model() if hasattr(module, "get_base_model") else module
    configs = {name: getattr(base, name).to_dict() for name in ("config", "generation_config") if hasattr(base, name)}
    had = [(part, set(vars(part)), vars(part).get("forward")) for part in module.modules()]
    hooks = [(part, set(part._forward_hooks), set(part._forward_pre_hooks)) for part in module.modules()]
    dropout = [(part, part.p) for part in module.modules() if isinstance(part, torch.nn.Dropout)]
    adapters, active = set(module.peft_config), list(module.active_adapters)
    trained = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        yield
    finally:
        with gate.training():
            for name in set(module.peft_config) - adapters:
                module.delete_adapter(name)  # a reference or a teacher
            module.base_model.set_adapter(active)
            for parameter, gradient in trained:
                parameter.requires_grad_(gradient)
            base.activation_checkpointing_disable()
            for part, names, forward in had:
                for name in set(vars(part)) - names:
                    del vars(part)[name]
                if forward is not None:
                    part.forward = forward
            for part, after, before in hooks:
                for kept, now in ((after, part._forward_hooks), (before, part._forward_pre_hooks)):
                    for handle in set(now) - kept:
                        del now[handle]
            for part, p in dropout:
                part.p = p
            for name, values in configs.items():
                _restore(getattr(base, name), values)
            module.zero_grad(set_to_none=True)
            module.eval()


def _restore(config: Any, values: dict[str, Any]) -> None:
    """Set what has changed back to what it was."""
    now = config.to_dict()
    for name in now:
        if name in values and now[name] != values[name] and not isinstance(values[name], dict):
            setattr(config, name, values[name])
