"""Copy as code: the cell, the magic and the command that evaluate what the Evaluate panel does."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ._code import data_expression, literal
from ._naming import is_name

NO_MAGIC = "# %shadow eval takes one model of a variable, a run or a name; what is chosen here takes a cell of Python."


def code(models: Mapping[str, str], suites: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> dict[str, str]:
    """Return code by kind; empty while something is missing.

    Parameters
    ----------
    models
        Choices by name.
    suites
        As chosen.
    options
        ``name``, ``limit``, ``samples``, ``temperature``, ``max_new_tokens`` as :func:`shadownb.evaluate` takes them.
    """
    if not models or not suites:
        return {}
    return {"python": _python(models, suites, options), "magic": _magic(models, suites, options)}


def _python(models: Mapping[str, str], suites: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> str:
    lines = ["import shadownb as snb", ""]
    pair = _pair(models)
    if pair is not None:
        asked = pair
    else:
        lines += ["models = {", *(f"    {literal(name)}: {_contender(one)}," for name, one in models.items()), "}"]
        asked = "models"
    listed = ", ".join(_suite(each) for each in suites)
    arguments = [asked, f"[{listed}]", *(f"{name}={literal(value)}" for name, value in options.items())]
    call = f"evaluation = snb.evaluate({', '.join(arguments)})"
    if len(call) > 110:
        call = "evaluation = snb.evaluate(\n" + "".join(f"    {each},\n" for each in arguments) + ")"
    return "\n".join([*lines, call, 'evaluation  # evaluation.to_html("report.html"), evaluation.require(...)']) + "\n"


def _pair(models: Mapping[str, str]) -> str | None:
    """Return the variable whose base and tuned weights, and no others, are asked; None where it is another choice."""
    wanted = [choice.removeprefix("var:").rpartition("/") for choice in models.values()]
    if len(wanted) == 2 and list(models) == ["base", "tuned"] == [use for _, _, use in wanted]:
        name = wanted[0][0]
        return name if wanted[1][0] == name and is_name(name) else None
    return None


def _contender(choice: str) -> str:
    kind, _, rest = choice.partition(":")
    name, _, part = rest.partition("/")
    if kind == "var":
        return f"snb.Contender({name}, use={literal(part)})" if part else name
    if kind == "alias":
        return f'snb.Contender(snb.load({literal(name)}), use="base")'
    if kind == "load":
        name, _, part = rest.rpartition("/")
        return f"snb.Contender(snb.load({literal(name)}), use={literal(part)})"
    if kind == "run":
        return f'snb.Contender(snb.load({literal(name)}), use="tuned")'
    if kind == "checkpoint":
        return f"snb.Contender(snb.load({literal(name)}), use=snb.runs.load({literal(name)}).checkpoint_at({part}))"
    return f"given_{rest}"


def _suite(chosen: Mapping[str, str]) -> str:
    kind, _, rest = chosen["id"].partition(":")
    if kind == "rows":
        return (
            f"snb.suites.rows({spelled_data(chosen['data'])}, {spelled_scorer(chosen['scorer'])}, name={literal(rest)})"
        )
    return rest if kind == "var" else literal(rest) if kind == "name" else f"given_suite_{rest}"


def spelled_data(choice: str) -> str:
    """Return the Python that opens chosen rows."""
    kind, _, rest = choice.partition(":")
    return rest if kind == "var" else data_expression(choice, "dataset", {}).replace("shadownb.", "snb.")


def spelled_scorer(choice: str) -> str:
    """Return the Python that names a chosen scorer."""
    kind, _, rest = choice.partition(":")
    return rest if kind == "var" else literal(rest)


def _magic(models: Mapping[str, str], suites: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> str:
    if any(
        "." in choice.partition(":")[2].partition("/")[0] for choice in models.values() if choice.startswith("var:")
    ):
        return NO_MAGIC
    model, others = _pair(models), [each for each in suites if not each["id"].startswith("name:")]
    own = others[0] if len(others) == 1 and others[0]["id"].startswith("rows:") else None
    if model is None or (others and own is None):
        return NO_MAGIC
    words = ["%shadow eval", model, *(each["id"].partition(":")[2] for each in suites if each is not own)]
    if own is not None:
        kind, _, data = own["data"].partition(":")
        words += ["--rows", shlex.quote(data.replace(":", ".") if kind == "sample" else data)]
        words += ["--scorer", own["scorer"].partition(":")[2], "--rows-name", own["id"].partition(":")[2]]
    flags = {"name": "--folder", "max_new_tokens": "--max-new-tokens"}
    for name, value in options.items():
        words += [flags.get(name, f"--{name}"), shlex.quote(str(value))]
    return " ".join(words) + " --as evaluation"
