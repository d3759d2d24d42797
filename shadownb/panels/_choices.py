"""What a user can choose from: data in the notebook, in files, shipped with ShadowNB.

A choice is a small dict with an ``id`` that the front end sends back. Ids are ``var:NAME``, ``sample:NAME``,
``file:PATH``, ``given`` (the object handed to the panel), ``rows:RUN`` and ``heldout:RUN`` (rows of a run), ``capture:...`` (see
:mod:`._recorded_data`), ``hub:...`` (see :mod:`._hub_data`) and, for models, ``alias:NAME`` or ``path:TEXT``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import registry
from shadownb.engine.data.accepting import KINDS
from shadownb.engine.data.columns import TARGETS
from shadownb.engine.functions import fits
from shadownb.engine.messages.texts import shown
from shadownb.errors import DataError

from ._hub_data import OfHub

# Panels find all about choices here, these too.
from ._naming import is_name as is_name  # noqa: PLC0414
from ._naming import name_of as name_of  # noqa: PLC0414
from ._naming import user_namespace as user_namespace  # noqa: PLC0414
from ._naming import variables as variables  # noqa: PLC0414
from ._recorded_data import Recorded, recorded_choices

if TYPE_CHECKING:
    from shadownb.engine.runs.rows import Part

# id -> (name, split, title)
SAMPLES = {
    "sample:support-triage": ("support-triage", "train", "support-triage: messages to intent, product and urgency"),
    "sample:support-triage:heldout": ("support-triage", "heldout", "support-triage, held-out messages"),
}
ROWS_OF_RUN: dict[str, Part] = {"rows": "train", "heldout": "held_out"}
_LOOKED_AT = 50
_PREVIEW_ROWS = 3
_SHOWN_BAD_ROWS = 20
_SHOWN_CHARACTERS = 600
_SHOWN_COLUMNS = 60
IGNORE = "ignore"  # what stands for "left out" where a column's target is chosen


# -- data ------------------------------------------------------------------------------------------------------------


def kind_of(value: Any) -> str | None:
    """Return what a Dataset can be made of ("dataset", "rows", "frame", "hf", ...), None for anything else."""
    from shadownb.engine.data import accepting

    kind = accepting.kind_of(value)
    if kind == "rows" and not all(isinstance(row, dict) for row in value[:_LOOKED_AT]):
        return None  # it would be refused for most of its entries
    return kind if kind in accepting.KINDS else None


def data_choices(
    namespace: Mapping[str, Any], given: Any = None, files: tuple[str, ...] = (), taken: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Return the data that can be picked: the given one, notebook variables, what other panels handed over (``taken``, by their
    choice ids), files opened before, recordings, shipped sets."""
    found: list[dict[str, Any]] = []
    known = {id(given)} if given is not None else set()
    name = name_of(given, namespace)
    if given is not None and name is None:
        found.append({"id": "given", "title": _title_of(given), "group": "Given to this panel"})
    for name, value in variables(namespace):
        kind = kind_of(value)
        if kind is not None:
            title = f"{name} ({KINDS[kind]}, {len(value):,} rows)"
            found.append(
                {"id": f"var:{name}", "title": title, "group": "Notebook variables", "same": id(value) in known}
            )
    found += [{"id": choice, "title": _title_of_choice(choice), "group": "From other panels"} for choice in taken]
    found += [{"id": f"file:{path}", "title": Path(path).name, "group": "Files"} for path in files]
    found += [each for each in recorded_choices() if each["id"] not in taken]
    found += [{"id": key, "title": title, "group": "Shipped"} for key, (_, _, title) in SAMPLES.items()]
    return found


def _title_of_choice(choice: str) -> str:
    kind, _, rest = choice.partition(":")
    if kind == "capture":
        return Recorded.of(choice).title
    if kind == "hub":
        return OfHub.of(choice).title
    return f"{'Held-out rows' if kind == 'heldout' else 'Rows'} of run {rest}"


def function_choices(namespace: Mapping[str, Any], kind: str) -> list[dict[str, str]]:
    """Return what an option can name: what the notebook has of its kind, then what is built in (of teachers: models by name)."""
    from shadownb.engine.models import catalog  # not before somebody looks

    own = [name for name, value in variables(namespace) if fits(kind, value)]
    known = [info.name for info in catalog()] if kind == "teacher" else registry.names(kind)
    return [
        *({"name": name, "group": "Notebook"} for name in own),
        *({"name": name, "group": "Built in"} for name in known if name not in own),
    ]


def describe_data(data: Any) -> dict[str, Any]:
    """Return what the panel shows of open data: format, counts, bad rows, what was not read, the first good rows.

    Raises
    ------
    DataError
        Nothing in it can be trained on.
    """
    rows = data.canonical_rows()
    return {**describe_reading(data), "preview": [row_parts(row) for row in rows[:_PREVIEW_ROWS]]}


def describe_reading(data: Any) -> dict[str, Any]:
    """Return what the panel shows of how data is read, whether or not anything in it can be used."""
    report, reading = data.report, data.reading
    found = sorted(
        report.unread, key=lambda column: column.refuses
    )  # of two kinds under one name, what refuses is shown
    unread = {column.name: column for column in found if column.kind != "left out"}
    names = [*data.columns, *(name for name in unread if name not in data.columns)][:_SHOWN_COLUMNS]
    return {
        "name": data.name,
        "format": data.format,
        "rows": len(data),
        "valid": report.valid,
        "bad": [{"place": bad.place, "row": bad.row, "reason": bad.reason} for bad in report.bad[:_SHOWN_BAD_ROWS]],
        "bad_count": len(report.bad),
        "columns": [
            {
                "name": shown(str(name)),
                "target": IGNORE if name in reading.ignore else reading.columns.get(name, ""),
                "key": name not in data.columns,  # a key of messages: it can be left out, and stands for no column
                "unread": None if name not in unread else _unread(unread[name]),
            }
            for name in names
        ],
        "targets": list(TARGETS),
        "left_out": [str(column) for column in report.unread if column.kind == "left out"],
    }


def _unread(column: Any) -> dict[str, Any]:
    return {"rows": column.rows, "kind": column.kind, "example": column.example, "refuses": column.refuses}


def row_parts(row: Mapping[str, Any]) -> list[dict[str, str]]:
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
    text = shown(text)
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
                f"No file {rest!r}.",
                why=f"The notebook's folder is {Path.cwd()}.",
                fix="Check the path, or give an absolute one.",
            )
        return Dataset.load(path)
    if kind in ROWS_OF_RUN:
        from shadownb.engine import runs

        return runs.rows(rest, ROWS_OF_RUN[kind])
    if kind == "capture":
        return Recorded.of(choice).open()
    if kind == "hub":
        return OfHub.of(choice).open()
    if choice in SAMPLES:
        name, split, _ = SAMPLES[choice]
        return Dataset.sample(name, split=split)
    raise DataError(f"{choice!r} is not data this panel knows.", fix="Choose one of the list.")


def as_dataset(value: Any, name: str | None = None) -> Any:
    """Return a Dataset made of whatever holds rows."""
    from shadownb.engine.data import as_dataset

    return as_dataset(value, name or "This value", name=name)


def _title_of(data: Any) -> str:
    name = getattr(data, "name", None) or type(data).__name__
    return f"{name} ({len(data):,} rows)"
