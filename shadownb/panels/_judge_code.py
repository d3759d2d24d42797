"""Copy as code: the cell, the magic and the command that judge what the Judge panel does."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ._code import literal
from ._judge_choices import GIVEN, OWN


def code(source: str, judge: str, rubric: str | None, options: Mapping[str, Any]) -> dict[str, str]:
    """Return code by kind; empty while something is missing.

    Parameters
    ----------
    source, judge
        As chosen.
    rubric
        None is the usual one.
    options
        ``limit`` of :func:`shadownb.judge`, and those of :class:`Judge`, as far as they are not the usual ones.
    """
    if not source or not judge:
        return {}
    made = {"python": _python(source, judge, rubric, options)}
    if (magic := _command(source, judge, rubric, options)) is not None:
        made["magic"] = f"%shadow {magic} --as judged"
        if not source.startswith("var:") and not judge.startswith("var:"):
            made["shell"] = f"shadownb {magic}"
    return made


def _python(source: str, judge: str, rubric: str | None, options: Mapping[str, Any]) -> str:
    lines = ["import shadownb as snb", ""]
    asked, use = _judge(judge)
    if judge.startswith(OWN):  # has its own rubric and options
        rubric, options = None, {name: value for name, value in options.items() if name == "limit"}
    arguments = [_source(source), asked]
    if rubric is not None:
        lines.append(f"rubric = {literal(rubric)}")
        arguments.append("rubric")
    arguments += [f"use={literal(use)}"] if use else []
    arguments += [f"{name}={literal(value)}" for name, value in options.items()]
    lines.append(f"judged = snb.judge({', '.join(arguments)})")
    lines.append("judged  # judged.disagreements(), judged.calibrate(), judged.to_preferences(), judged.best(0.8)")
    return "\n".join(lines) + "\n"


def _source(choice: str) -> str:
    kind, _, rest = choice.partition(":")
    if kind == "capture":
        return f"snb.captures.open({literal(rest)})"
    if kind == "evaluation":
        return f"snb.evaluations.open({literal(rest)})"
    return rest if kind == "var" else "attempts"


def _judge(choice: str) -> tuple[str, str]:
    """Return the Python of a judge, and which of its weights."""
    kind, _, rest = choice.partition(":")
    name, _, use = rest.partition("/")
    if kind in ("var", "judge"):
        return name or "judge", use
    if kind == "alias":
        return f"snb.load({literal(name)})", ""
    if kind == "checkpoint":
        return f"snb.Judge(snb.load({literal(name)}), use=snb.runs.load({literal(name)}).checkpoint_at({use}))", ""
    if kind == "run":
        return f"snb.load({literal(name)})", "tuned"
    return "judge", ""


def _command(source: str, judge: str, rubric: str | None, options: Mapping[str, Any]) -> str | None:
    """Return the verb with its options; None where only a cell can say it."""
    what, (who, use) = source.partition(":")[2], _judge(judge)
    name = judge.partition(":")[2].partition("/")[0]
    if source == GIVEN or judge.startswith((OWN, "checkpoint:", "given:")) or not who:
        return None
    words = ["judge", shlex.quote(what), shlex.quote(name)]
    words += ["--use", use] if use else []
    words += ["--rubric", shlex.quote(rubric)] if rubric is not None else []
    for option, value in options.items():
        words += [f"--{option.replace('_', '-')}", shlex.quote(str(value))]
    return " ".join(words)
