"""Every pair of method and option that the capability table calls honoured changes what is trained.

The cases in ``test_capabilities.py`` look at each option through one method; an option that changes something for LoRA may
change nothing for another method, and would then be ignored in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shadownb.engine import capabilities, methods, objectives
from shadownb.engine.config import TrainConfig
from tests.engine.methods_data import CASES

# What every method honours unless its parameters or rows are of a kind that it cannot matter to; the other such options (rate,
# lengths, devices, saving) work on any parameters in the same way.
SHARED = {"weight_decay", "max_length"}
VALUES: dict[str, Any] = {
    "weight_decay": 0.9,
    "max_length": 80,
    "loss_on": "all",
    "assistant_only_loss": False,
    "lora_r": 3,
    "lora_alpha": 8,
    "lora_dropout": 0.5,
    "target_modules": "mlp",
    "use_rslora": True,
    "train_embeddings": True,
    "num_virtual_tokens": 3,
    "prompt_tuning_init_text": "Name it.",
    "beta": 0.5,
    "loss_type": "hinge",
    "sft_weight": 0.5,
    "desirable_weight": 3.0,
    "undesirable_weight": 3.0,
}


def other_value(method: str, name: str) -> Any:
    """Return a value that is not the method's default."""
    if (method, name) == ("reward", "max_length"):
        return 90  # what does not fit is left out whole, and two of its rows have to be left
    if name == "packing":
        return not TrainConfig(method=method).packing
    if name == "init_lora_weights":
        return "loftq" if methods.get(method).quantized_base else "pissa"
    return VALUES[name]


def options_of(method: str) -> list[str]:
    """Return the honoured options of a method that are its own, its objective's, or in ``SHARED``."""
    spec = methods.get(method)
    support = capabilities.supported_fields(method)
    own = SHARED | set(objectives.get(spec.objective).fields) | set(spec.fields)
    return sorted(name for name in own if support[name] is None)


def trained(method: str, folder: Path, **options: Any) -> str:
    """Train two steps on a fresh base; returns the sha256 of what was trained."""
    case = CASES[method]
    run = case.train(case.load(folder), **{"max_steps": 2, **options})
    assert run.status == "succeeded", f"{options}: {run.error or run.traceback()}"
    return str(run.checkpoint_at().manifest["trained_sha256"])


def pairs() -> Iterator[Any]:
    """Yield every pair of method and option, and mark those of which another pair is of the same kind.

    An option acts on what is trained, on the loss, or on the rows; methods that share the kind of parameters and the 4-bit
    base share the code that does the first, those with one objective the code of the others.
    """
    seen = set()
    for spec in methods.available():
        for name in options_of(spec.name) if spec.group != "memory" else ():  # in test_facts.py and test_reading.py
            of_parameters = name in spec.fields and name not in set(objectives.get(spec.objective).fields)
            kind = (
                (spec.adapter, spec.tuner, spec.quantized_base) if of_parameters else (spec.objective, spec.data_shape)
            )
            known = (name, kind) in seen
            seen.add((name, kind))
            yield pytest.param(spec.name, name, marks=[pytest.mark.full] if known else [], id=f"{spec.name}-{name}")


_plain: dict[str, str] = {}  # what each method gives with its default options


@pytest.mark.parametrize(("method", "name"), pairs())
def test_every_honoured_option_changes_what_this_method_trains(
    method: str, name: str, home: Path, byte_model_dir: Path
) -> None:
    """That the same options give the same weights, without which this would prove nothing, is in ``test_methods_matrix.py``."""
    if method not in _plain:
        _plain[method] = trained(method, byte_model_dir)
    other = trained(method, byte_model_dir, **{name: other_value(method, name)})
    assert other != _plain[method], f"{method} honours {name} in the table only"


def test_every_method_has_options() -> None:
    assert all(options_of(spec.name) for spec in methods.available())


@pytest.mark.parametrize(
    ("method", "name"), [("cpt", "loss_on"), ("cpt", "assistant_only_loss"), ("bitfit", "weight_decay")]
)
def test_what_cannot_matter_to_a_method_is_not_honoured(method: str, name: str) -> None:
    reason = capabilities.supported_fields(method)[name]
    assert reason is not None and reason.startswith(f"{method} trains ")
    variant = methods.get(method).replace(name="variant")
    methods.register(variant)
    try:
        assert capabilities.supported_fields("variant")[name] is not None, "a variant trains the same"
    finally:
        methods.unregister("variant")
