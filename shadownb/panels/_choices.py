"""What a user can choose from: datasets and models in the notebook, shipped sets, aliases, files, devices, methods.

A choice is a small dict with an ``id`` that the front end sends back. Ids are ``var:NAME``, ``sample:NAME``,
``file:PATH``, ``given`` (the object handed to the panel) and, for models, ``alias:NAME`` or ``path:TEXT``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shadownb.engine import methods
from shadownb.engine.methods.spec import GROUPS
from shadownb.errors import DataError, ModelError

# id -> (name, split, title)
SAMPLES = {
    "sample:support-triage": ("support-triage", "train", "support-triage: messages to intent, product and urgency"),
    "sample:support-triage:heldout": ("support-triage", "heldout", "support-triage, held-out messages"),
}
_LOOKED_AT = 50
_PREVIEW_ROWS = 3
_SHOWN_BAD_ROWS = 20
_SHOWN_CHARACTERS = 600


def user_namespace() -> dict[str, Any]:
    """Return a copy of the notebook's variables, or an empty dict outside IPython."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return {}
    shell = get_ipython()
    if shell is None:
        return {}
    hidden = getattr(shell, "user_ns_hidden", {})
    # A cell may add names while this runs on another thread; list() of a dict's items is one step.
    return {name: value for name, value in list(shell.user_ns.items()) if name not in hidden and not name.startswith("_")}


# -- data ------------------------------------------------------------------------------------------------------------


def kind_of(value: Any) -> str | None:
    """Return "dataset", "rows" or "frame" for what a Dataset can be made of, None for anything else."""
    from shadownb.engine.data import Dataset

    if isinstance(value, Dataset):
        return "dataset"
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value[:_LOOKED_AT]):
        return "rows"
    # A frame is recognised by name, so that looking around never imports pandas.
    if type(value).__name__ == "DataFrame" and type(value).__module__.split(".")[0] == "pandas":
        return "frame"
    return None


def data_choices(namespace: Mapping[str, Any], given: Any = None, files: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return the datasets that can be picked: the given one, notebook variables, files opened before, shipped sets."""
    found: list[dict[str, Any]] = []
    known = {id(given)} if given is not None else set()
    name = name_of(given, namespace)
    if given is not None and name is None:
        found.append({"id": "given", "title": _title_of(given), "group": "Given to this panel"})
    for name, value in _variables(namespace):
        kind = kind_of(value)
        if kind is not None:
            words = {"dataset": "Dataset", "rows": "list of rows", "frame": "DataFrame"}[kind]
            title = f"{name} ({words}, {len(value):,} rows)"
            found.append({"id": f"var:{name}", "title": title, "group": "Notebook variables", "same": id(value) in known})
    found += [{"id": f"file:{path}", "title": Path(path).name, "group": "Files"} for path in files]
    found += [{"id": key, "title": title, "group": "Shipped"} for key, (_, _, title) in SAMPLES.items()]
    return found


def describe_data(data: Any) -> dict[str, Any]:
    """Return what the panel shows of open data: format, counts, bad rows, the first good rows.

    Raises
    ------
    DataError
        Nothing in it can be trained on.
    """
    rows = data.canonical_rows()
    report = data.report
    return {
        "name": data.name,
        "format": data.format,
        "rows": len(data),
        "valid": report.valid,
        "bad": [{"place": bad.place, "row": bad.row, "reason": bad.reason} for bad in report.bad[:_SHOWN_BAD_ROWS]],
        "bad_count": len(report.bad),
        "preview": [_parts(row) for row in rows[:_PREVIEW_ROWS]],
    }


def _parts(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a canonical row as ``role`` and ``text``, long texts cut."""
    parts: list[tuple[str, Any]] = []
    for name, value in row.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) and "role" in item for item in value):
            before = "" if name == "messages" else f"{name}: "
            parts += [(before + str(turn["role"]), turn.get("content") or _tool_text(turn)) for turn in value]
        else:
            parts.append((name, value))
    return [{"role": role, "text": _cut(value if isinstance(value, str) else str(value))} for role, value in parts]


def _tool_text(message: Mapping[str, Any]) -> str:
    calls = [call.get("function", call) for call in message.get("tool_calls") or ()]
    return " ".join(f"{call.get('name')}({call.get('arguments')})" for call in calls)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}… ({len(text):,} characters)"


def open_data(choice: str, namespace: Mapping[str, Any], given: Any = None) -> Any:
    """Return the Dataset behind a choice; reads files, so it may take a while.

    Raises
    ------
    DataError
        The variable is gone, the file is missing or unreadable, or nothing in it can be used.
    """
    from shadownb.engine.data import Dataset

    kind, _, rest = choice.partition(":")
    if kind == "given":
        return as_dataset(given)
    if kind == "var":
        if rest not in namespace:
            raise DataError(f"The notebook has no variable {rest!r} any more.", fix="Choose the data again.")
        return as_dataset(namespace[rest], name=rest)
    if kind == "file":
        path = Path(rest).expanduser()
        if not path.exists():
            raise DataError(
                f"No file {rest!r}.", why=f"The notebook's folder is {Path.cwd()}.", fix="Check the path, or give an absolute one."
            )
        return Dataset.load(path)
    if choice in SAMPLES:
        name, split, _ = SAMPLES[choice]
        return Dataset.sample(name, split=split)
    raise DataError(f"{choice!r} is not data this panel knows.", fix="Choose one of the list.")


def as_dataset(value: Any, name: str | None = None) -> Any:
    """Return a Dataset made of a Dataset, a list of dicts or a DataFrame."""
    from shadownb.engine.data import Dataset

    kind = kind_of(value)
    if kind == "dataset":
        return value
    if kind == "rows":
        return Dataset.from_list(value, name=name or "list")
    if kind == "frame":
        return Dataset.from_pandas(value, name=name or "frame")
    raise DataError(
        f"{name or 'This value'} is a {type(value).__name__}, not data.", fix="Give a Dataset, a list of dicts or a DataFrame."
    )


# -- models ----------------------------------------------------------------------------------------------------------


def model_choices(namespace: Mapping[str, Any], given: Any = None) -> list[dict[str, Any]]:
    """Return the models that can be picked: loaded ones in the notebook first, then aliases."""
    from shadownb.engine import models

    found: list[dict[str, Any]] = []
    if given is not None and name_of(given, namespace) is None:
        found.append({"id": "given", "title": f"{given.name} (loaded)", "group": "Given to this panel"})
    for name, value in _variables(namespace):
        if isinstance(value, models.Model):
            found.append({"id": f"var:{name}", "title": f"{name} ({value.name}, loaded)", "group": "Notebook variables"})
    for info in models.catalog():
        size = f"{info.size_gb:.1f} GB" if info.size_gb else ""
        where = "on this machine" if info.cached else "to download"
        detail = ", ".join(part for part in (size, where) if part)
        found.append({"id": f"alias:{info.name}", "title": f"{info.title} ({detail})", "group": "Catalogue", "note": info.note})
    return found


def loaded_model(choice: str, namespace: Mapping[str, Any], given: Any = None) -> Any | None:
    """Return the model of a choice that is in memory already, or None if it has to be loaded."""
    kind, _, rest = choice.partition(":")
    if kind == "given":
        return given
    if kind == "var":
        if rest not in namespace:
            raise ModelError(f"The notebook has no variable {rest!r} any more.", fix="Choose the model again.")
        return namespace[rest]
    return None


# -- methods and hardware --------------------------------------------------------------------------------------------


def method_choices(model: Any = None, data_format: str | None = None, config: Any = None) -> list[dict[str, Any]]:
    """Return every registered method with its group, hint, needed data and, if it can't be used, the reason.

    Parameters
    ----------
    config
        Gives the adapter's size; with it and a model the share of weights that is trained is known.
    """
    found = [
        {
            "name": spec.name,
            "title": spec.title,
            "group": GROUPS.get(spec.group, spec.group),
            "hint": spec.hint,
            "data": spec.data_shape,
            "share": share_trained(spec, model, config),
            "blocked": spec.blocked(model, data_format),
        }
        for spec in methods.available()
    ]
    order = list(GROUPS.values())
    return sorted(found, key=lambda row: order.index(row["group"]) if row["group"] in order else len(order))


def share_trained(spec: Any, model: Any, config: Any) -> str:
    """Return the share of weights a method trains, in words; empty while it isn't known."""
    if spec.surface == "weights":
        return "all"
    if spec.surface != "lora" or model is None or config is None or getattr(model, "module", None) is None:
        return ""
    wanted = config.resolved_target_modules()
    head = model.module.get_output_embeddings()
    rank = config.lora_r
    trained = 0
    for name, layer in model.module.named_modules():
        if ".base_layer" in name or "lora_" in name or layer is head or not hasattr(layer, "in_features"):
            continue
        if wanted == "all-linear" or name.rpartition(".")[2] in wanted:
            trained += rank * (layer.in_features + layer.out_features)
    return f"{trained / 1e6:.1f} million ({trained / model.parameters_total:.1%})" if trained else ""


def load_model(name: str, options: Mapping[str, Any]) -> Any:
    """Load a model as ``shadownb.load`` does."""
    from shadownb.engine import models

    return models.load(name, **options)


def describe_model(model: Any) -> dict[str, Any]:
    """Return what the panel shows of a loaded model."""
    return {
        "name": model.name,
        "parameters": model.parameters_total,
        "dtype": model.dtype_name,
        "device": str(model.device),
        "quantization": model.quantization,
        "max_seq_length": model.max_seq_length,
        "base_hash": model.base_hash[:12],
        "trained": list(model.trained) if model.trained else None,
    }


def unsupported_fields(method: str) -> dict[str, str]:
    """Return the options that the method cannot honour, with the reason."""
    from shadownb.engine import capabilities

    return {name: reason for name, reason in capabilities.supported_fields(method).items() if reason is not None}


def estimate(model: Any, config: Any, data: Any) -> dict[str, Any]:
    """Return the estimated memory in GB, line by line, and the time in seconds."""
    from shadownb.engine import hardware

    found = hardware.estimate(model, config, data)
    return {
        "lines": [[label, gb] for label, gb in found.lines],
        "low_gb": found.low_gb,
        "expected_gb": found.expected_gb,
        "high_gb": found.high_gb,
        "seconds": found.seconds,
        "fits": found.fits,
        "reason": found.reason,
    }


def find_hardware() -> dict[str, Any]:
    """Return what the machine has: devices (usable or not, with the reason), cores, memory, the recommended one."""
    from shadownb.engine import hardware

    found = hardware.detect()
    return {
        "devices": [
            {
                "kind": device.kind,
                "name": device.name,
                "memory_gb": device.memory_gb,
                "free_memory_gb": device.free_memory_gb,
                "usable": device.usable,
                "reason": device.reason,
            }
            for device in found.devices
        ],
        "recommended": found.recommended,
        "reason": found.reason,
        "cores": found.cores,
        "memory_gb": found.memory_gb,
        "free_memory_gb": found.free_memory_gb,
    }


# -- shared ----------------------------------------------------------------------------------------------------------


def name_of(value: Any, namespace: Mapping[str, Any]) -> str | None:
    """Return the notebook variable that holds this very object, or None."""
    if value is None:
        return None
    return next((name for name, held in namespace.items() if held is value and name.isidentifier()), None)


def _variables(namespace: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in namespace.items() if name.isidentifier() and not name.startswith("_"))


def _title_of(data: Any) -> str:
    name = getattr(data, "name", None) or type(data).__name__
    return f"{name} ({len(data):,} rows)"
