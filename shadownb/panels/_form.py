"""The training form: the options of TrainConfig as data a front end can draw, and back.

Nothing here knows an option by name: titles come from words, ranges and help from the field's metadata, messages from
the ConfigError that the same value would raise in a cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.engine import methods
from shadownb.engine.config import TrainConfig
from shadownb.engine.config_fields import ConfigField, config_fields
from shadownb.engine.config_objectives import option_names
from shadownb.errors import ConfigError, ShadowError

# Chosen by controls of their own in the panel.
_ELSEWHERE = frozenset({"method"})

_WORDS = {
    "lora": "LoRA",
    "rslora": "rsLoRA",
    "r": "rank",
    "lr": "learning rate",
    "optim": "optimizer",
    "num": "",
    "max": "maximum",
    "seq": "sequence",
    "eval": "evaluation",
    "grad": "gradient",
    "grpo": "GRPO",
    "dpo": "DPO",
    "init": "initial",
    "k": "count",
    "tau": "threshold",
}

GROUP_TITLES = {
    "schedule": "Schedule",
    "batch": "Batch",
    "adapter": "Adapter",
    "data": "What is trained",
    "evaluation": "Evaluation",
    "saving": "Checkpoints",
    "preference": "Preferences",
    "reward": "Answers and rewards",
    "objective": "Objective",
    "memory": "Memory",
    "runtime": "Where and how",
}

_PLAIN_WORDS = (
    ("input should be", "must be"),
    ("greater than or equal to", "at least"),
    ("greater than", "above"),
    ("less than or equal to", "at most"),
    ("less than", "below"),
    ("a valid integer", "a whole number"),
    ("a valid number", "a number"),
)


def title_of(name: str) -> str:
    """Return the words of an option's name as a form shows them."""
    parts = name.removeprefix("per_device_train_").removeprefix("num_train_").split("_")
    words = " ".join(word for word in (_WORDS.get(part, part) for part in parts) if word)
    return words[:1].upper() + words[1:]


def form_fields(method: str | None = None) -> list[dict[str, Any]]:
    """Return every option with the control it gets, in declaration order; those of several objectives as the method's has them."""
    objective = methods.get(method).objective if method is not None and methods.known(method) else None
    return [_as_dict(field) for field in config_fields(objective) if field.name not in _ELSEWHERE]


def _as_dict(field: ConfigField) -> dict[str, Any]:
    title = title_of(field.name)
    return {
        "name": field.name,
        "title": title,
        "kind": field.kind,
        "default": list(field.default) if isinstance(field.default, tuple) else field.default,
        "help": field.help,
        "group": field.group,
        "group_title": GROUP_TITLES.get(field.group, field.group.capitalize()),
        "advanced": field.advanced,
        "unit": "" if field.unit and title.lower().endswith(field.unit) else field.unit,
        "optional": field.optional,
        "choices": list(field.choices),
        "functions": field.functions or "",
        "minimum": field.minimum,
        "exclusive_minimum": field.exclusive_minimum,
        "maximum": field.maximum,
    }


def method_defaults(method: str) -> dict[str, Any]:
    """Return what an empty field will mean for this method, where that differs from the field's own default."""
    spec = methods.get(method)
    own = TrainConfig(method=method).objective_options
    return {
        **(dict(own) if own is not None else {}),
        **dict(spec.defaults),
        "learning_rate": f"{spec.default_learning_rate:g}",
    }


def typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given options without those left empty, lists split into lines."""
    kinds = {field.name: field.kind for field in config_fields()}
    given: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, str) and not value.strip():
            continue
        if value is None or value == []:
            continue
        if not isinstance(value, str):
            given[name] = value
        elif kinds.get(name) == "list":
            given[name] = [line.strip() for line in value.splitlines() if line.strip()]
        else:
            given[name] = value.strip()
    return given


def build(
    method: str, values: Mapping[str, Any], unsupported: Mapping[str, str]
) -> tuple[TrainConfig | None, dict[str, str]]:
    """Return the validated config, or None and one message for each option that stands in the way.

    Parameters
    ----------
    method
        Name of the chosen method.
    values
        Options as the form holds them: text for numbers, "" or None for "default".
    unsupported
        Options that the method cannot honour, with the reason; one of these that is set is a problem.
    """
    given = typed(values)
    problems = {
        name: reason for name, reason in unsupported.items() if name in given and _differs(method, name, given[name])
    }
    for name, value in given.items():
        if name not in problems:
            try:
                _one(method, name, value)
            except ConfigError as error:
                problems[name] = message_of(error)
    if problems:
        return None, problems
    try:
        return TrainConfig(method=method, **_without_defaults(method, given)), {}
    except ShadowError as error:
        return None, {"": message_of(error)}


def message_of(error: ShadowError) -> str:
    """Return a short sentence fit to stand below one field."""
    what = error.what.removeprefix("The options contradict each other: ")
    if isinstance(error, ConfigError) and ": " in what and what.split("=", 1)[0].isidentifier():
        what = what.split(": ", 1)[1].split(", unable to parse")[0].rstrip(".")
        for formal, plain in _PLAIN_WORDS:
            what = what.replace(formal, plain)
    return what


def set_options(config: TrainConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a form's config that were set to something else than the method's default, validated."""
    given = _without_defaults(config.method, typed(values))
    return {name: getattr(config, name) for name in option_names() if name in given}


def _differs(method: str, name: str, value: Any) -> bool:
    try:
        return bool(getattr(_one(method, name, value), name) != getattr(TrainConfig(method=method), name))
    except ConfigError:
        return True


def _one(method: str, name: str, value: Any) -> TrainConfig:
    """Return a config in which one option was set; several objectives may have one of a name, the method says which is meant."""
    return TrainConfig(**{name: value} if name in TrainConfig.model_fields else {"method": method, name: value})


def _without_defaults(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if _differs(method, name, value)}


def changed_advanced(method: str, values: Mapping[str, Any]) -> int:
    """Return how many advanced options are set to something else than the method's default."""
    advanced = {field.name for field in config_fields() if field.advanced}
    return sum(1 for name, value in typed(values).items() if name in advanced and _differs(method, name, value))
