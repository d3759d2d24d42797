"""Copy as code: the Python cell and the ``%%shadow train`` cell that do what the form does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import yaml

from shadownb.engine import functions

from . import _choices
from ._hub_data import OfHub
from ._recorded_data import Recorded

NO_MAGIC = "# %%shadow train takes variables, files and names; what is chosen here takes a cell of Python."


@dataclass(frozen=True)
class Choice:
    """What the form holds, as far as code needs it.

    Attributes
    ----------
    data, eval_data
        Choice ids (``var:rows``, ``sample:support-triage``, ``file:a.jsonl``); ``eval_data`` may also be None,
        "auto" or a share between 0 and 1.
    data_kind, eval_kind
        What a variable holds: a kind of :data:`shadownb.engine.data.accepting.KINDS`.
    model
        Choice id of the model.
    columns, ignore
        How the rows are read: the user's names for known columns, and what is left out.
    load_options
        Keyword arguments of ``load`` that differ from their default.
    start
        What the run starts from, where that must be said: "base", "trained", or a folder.
    options
        TrainConfig values that were given.
    """

    data: str
    model: str
    method: str
    options: Mapping[str, Any]
    eval_data: str | float | None = None
    data_kind: str = "dataset"
    eval_kind: str = "dataset"
    load_options: Mapping[str, Any] | None = None
    start: str | None = None
    columns: Mapping[str, str] | None = None
    ignore: Sequence[str] = ()

    @property
    def reading(self) -> dict[str, Any]:
        """What was said about columns, as the constructors of Dataset take it."""
        given = {"columns": dict(self.columns or {}), "ignore": list(self.ignore)}
        return {name: value for name, value in given.items() if value}


def as_python(choice: Choice) -> str:
    """Return a cell that trains the same thing; every line can be edited and run."""
    lines = ["import shadownb", ""]
    model, data = _model_expression(choice), data_expression(choice.data, choice.data_kind, choice.reading)
    evaluation = None if choice.eval_data is None else _eval_expression(choice)
    # A name that is given here must not hide a variable that the same code reads.
    read = {_variable(one) for one in (choice.model, choice.data, choice.eval_data)}
    if not _choices.is_name(model):
        name = "model" if "model" not in read else "base_model"
        lines.append(f"{name} = {model}")
        model = name
    if not _choices.is_name(data):
        name = "data" if "data" not in read else "train_data"
        lines.append(f"{name} = {data}")
        data = name
    given = [name for name, one in (("model", choice.model), ("data", choice.data)) if one == "given"]
    if given:
        lines.append(f"# {' and '.join(given)}: what this panel was given; put the name of your variable here")
    arguments = [data, f"method={literal(choice.method)}"]
    if evaluation is not None:
        arguments.append(f"eval_dataset={evaluation}")
    if choice.start is not None:
        arguments.append(f"start={literal(choice.start)}")
    arguments += [f"{name}={_argument(value)}" for name, value in choice.options.items()]
    arguments.append("background=True")
    if len(arguments) <= 3:
        lines.append(f"run = {model}.train({', '.join(arguments)})")
    else:
        lines.append(f"run = {model}.train(")
        lines += [f"    {argument}," for argument in arguments]
        lines.append(")")
    lines.append("run")
    return "\n".join(lines) + "\n"


def as_magic(choice: Choice) -> str:
    """Return a ``%%shadow train`` cell with the options as YAML; a comment where that cannot say what is chosen."""
    said = [choice.model, choice.data, *([choice.eval_data] if isinstance(choice.eval_data, str) else [])]
    if any(
        kind in ("rows", "heldout", "capture", "hub") or (kind == "var" and "." in name)
        for kind, _, name in map(_parts, said)
    ):
        return NO_MAGIC
    options: dict[str, Any] = {"model": _plain(choice.model), "dataset": _plain(choice.data)}
    if choice.eval_data is not None:
        as_it_is = isinstance(choice.eval_data, float) or choice.eval_data == "auto"
        options["eval_dataset"] = choice.eval_data if as_it_is else _plain(str(choice.eval_data))
    if choice.start is not None:
        options["start"] = choice.start
    options.update(choice.reading)
    options.update(choice.load_options or {})
    options["method"] = choice.method
    options.update({name: _yaml_value(value) for name, value in choice.options.items()})
    return "%%shadow train\n" + yaml.safe_dump(options, sort_keys=False, allow_unicode=True)


def _parts(choice: str) -> tuple[str, str, str]:
    return choice.partition(":")


def _argument(value: Any) -> str:
    """Return a value as Python; a function of a cell is the variable that holds it."""
    if not isinstance(value, tuple) or not any(functions.of_this_notebook(one) for one in value):
        return literal(value)
    return f"[{', '.join(functions.of_this_notebook(one) or literal(one) for one in value)}]"


def _yaml_value(value: Any) -> Any:
    return [functions.of_this_notebook(one) or one for one in value] if isinstance(value, tuple) else value


def chat_as_python(
    model: str,
    questions: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
    trained_tools: list[dict[str, Any]] | None = None,
    template_options: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Return a cell that asks the same with the same sampling settings.

    Parameters
    ----------
    model
        Name of the variable that holds the model.
    questions
        How ``stream`` is asked for each side, "tuned" and "base": ``prompt`` (messages, or plain text), and ``tools``. With the
        same words on both sides they are written once.
    settings
        Temperature, top_p, max_new_tokens, seed and stop.
    trained_tools
        The tools that the model offers by itself, which need not be written.
    template_options
        What the chat template is told: ``enable_thinking``, ``reasoning_effort``.
    """
    options = [f"{name}={settings[name]!r}" for name in ("temperature", "top_p", "max_new_tokens", "seed")]
    if settings.get("stop"):
        options.append(f"stop={literal(settings['stop'])}")
    same = len({repr(question) for question in questions.values()}) == 1
    lines: list[str] = []
    for side, question in questions.items():
        prompt, tools = question["prompt"], question.get("tools")
        if isinstance(prompt, str):
            more, name = ["template=False"], "prompt"
        else:
            # What the model would put before by itself is written out, so that the cell says what is asked.
            more, name = [] if prompt[0]["role"] == "system" else ["system=None"], "messages"
            if tools != trained_tools:
                more.append("tools=tools" if tools else "tools=None")
        if not lines or not same:
            if isinstance(prompt, str):
                lines.append(f"prompt = {prompt!r}")
            else:
                lines += ["messages = ["] + [f"    {message!r}," for message in prompt] + ["]"]
            if "tools=tools" in more:
                lines.append(f"tools = {tools!r}")
        # Plain text has no place where a template could be told anything.
        told = {} if isinstance(prompt, str) else template_options
        written = [f"{option}={literal(value)}" for option, value in told.items()]
        run, _, step = side.rpartition("@")
        use = f"shadownb.runs.load({literal(run)}).checkpoint_at({step})" if run else literal(side)
        arguments = ", ".join([name, *more, *options, *written, f"use={use}"])
        lines.append(f"for piece in {model}.stream({arguments}):")
        lines.append('    print(piece, end="")')
        lines.append("print()")
    if any("@" in side for side in questions):
        lines = ["import shadownb", "", *lines]
    return "\n".join(lines) + "\n"


def _model_expression(choice: Choice) -> str:
    kind, _, rest = choice.model.partition(":")
    if kind == "var":
        return _of_package(rest)
    if kind == "given":
        return "model"
    if kind == "copy":
        return f"{rest}.fresh_copy()"
    options = "".join(f", {name}={literal(value)}" for name, value in (choice.load_options or {}).items())
    return f"shadownb.load({literal(rest)}{options})"


def data_expression(choice: str, kind: str, reading: Mapping[str, Any], *, like: bool = False) -> str:
    """Return the code that opens data; ``like`` reads evaluation rows as the others, as far as they have the columns."""
    where, _, rest = choice.partition(":")
    said = ", ".join(f"{name}={literal(value)}" for name, value in reading.items())
    more = f", {said}" if said and not like else ""
    again = f".{'read_like' if like else 'read_as'}({said})" if said else ""
    if where == "var":
        rest = _of_package(rest)
        maker = _MAKERS.get(kind)
        return f"shadownb.Dataset.{maker}({rest}{more}){again if like else ''}" if maker else f"{rest}{again}"
    if where == "sample":
        name, _, split = rest.partition(":")
        part = f", split={literal(split)}" if split else ""
        return f"shadownb.Dataset.sample({literal(name)}{part}){again}"
    if where in _choices.ROWS_OF_RUN:
        part = ', "held_out"' if where == "heldout" else ""
        return f"shadownb.runs.rows({literal(rest)}{part}){again}"
    if where == "capture":
        return f"{Recorded.of(choice).as_python()}{again}"
    if where == "hub":
        return f"{OfHub.of(choice).as_python(more)}{again if like else ''}"
    if where == "file":
        return f"shadownb.Dataset.load({literal(rest)}{more}){again if like else ''}"
    return f"data{again}"


def _of_package(name: str) -> str:
    """Return what a Studio is called that no variable holds, in code that imports the package by its full name."""
    return name.replace("snb.", "shadownb.", 1) if name.startswith("snb.") else name


_MAKERS = {
    "rows": "from_list",
    "frame": "from_pandas",
    "polars": "from_arrow",
    "arrow": "from_arrow",
    "hf": "from_datasets",
}


def _variable(choice: Any) -> str:
    kind, _, name = str(choice).partition(":")
    return {"var": name, "copy": name, "given": "data"}.get(kind, "")


def _eval_expression(choice: Choice) -> str:
    if isinstance(choice.eval_data, float) or choice.eval_data == "auto":
        return literal(choice.eval_data)
    return data_expression(str(choice.eval_data), choice.eval_kind, choice.reading, like=True)


def _plain(choice: str) -> str:
    kind, _, rest = choice.partition(":")
    if choice == "given":
        return "model"
    return rest.replace(":", ".") if kind == "sample" else rest


def literal(value: Any) -> str:
    """Return a value as Python source, text in double quotes."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(literal(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{literal(key)}: {literal(item)}' for key, item in value.items())}}}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
