"""What the Export panel shows: formats to choose from, the report of an export, and what does the same in a cell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ._code import literal
from ._evaluate_code import spelled_data, spelled_scorer

NOTHING = "none"
"""Chosen instead of rows: nothing is measured."""


def identity(format: str, options: Mapping[str, Any]) -> str:
    """Return what a format with its options is called between page and kernel."""
    return " ".join([format, *(f"{name}={value}" for name, value in sorted(options.items()))])


def shown(offer: Any) -> dict[str, Any]:
    """Return a format as the page lists it."""
    return {
        "id": identity(offer.format, offer.options),
        "format": offer.format,
        "name": offer.name,
        "engines": offer.engines,
        "usual": offer.usual,
        "size": offer.size,
        "fetches": list(offer.fetches),
        "prepare": offer.prepare,
        "refused": None if offer.refused is None else offer.refused.to_dict(),
    }


def report(exported: Any) -> dict[str, Any]:
    """Return an export as the page shows it: where it lies, the table, points of the picture, what to take and why."""
    from shadownb.engine.exports.recommending import recommended

    rows = exported.rows()
    heads = [head for head in (rows[0] if rows else ()) if any(row[head] for row in rows)]
    chosen = recommended(exported.quality)[0] if len(exported.quality) > 1 else None
    return {
        "path": str(exported.path.resolve()),
        "format": exported.format,
        "size": exported.size,
        "files": list(exported.files),
        "heads": heads,
        "rows": [[row[head] for head in heads] for row in rows],
        "points": [
            {"name": each.name, "size": each.size, "kl": each.kl} for each in exported.quality if each.kl is not None
        ],
        "chosen": chosen.name if chosen is not None else "",
        "reference": exported.reference,
        "recommendation": exported.recommendation,
        "notes": list(exported.notes),
    }


def code(
    model: str, opened: bool, run: str, first: Any, others: Sequence[Any], folder: str, data: str, scorer: str
) -> dict[str, str]:
    """Return what does the same in a cell, and as far as those can say it as a magic and in a shell.

    Parameters
    ----------
    model
        The variable, or with ``opened`` the run, folder or name that the panel has loaded.
    run
        What a shell finds the same weights by; empty where it finds none.
    first, others
        Offers: what is exported, and what it is compared with.
    data, scorer
        Choices; empty where none was made.
    """
    found = {"python": _python(model, opened, first, others, folder, data, scorer)}
    words = _words(first, others, folder, data, scorer)
    if words is None:
        return found
    if opened or "." not in model:  # what a Studio holds is no variable
        found["magic"] = f"%shadow export {shlex.quote(model)} {words}"
    if run and not data.startswith("var:") and not scorer.startswith("var:"):
        found["shell"] = f"shadownb export {shlex.quote(run)} {words}"
    return found


def _python(model: str, opened: bool, first: Any, others: Sequence[Any], folder: str, data: str, scorer: str) -> str:
    arguments = [literal(folder), f"format={literal(first.format)}"]
    arguments += [f"{name}={literal(value)}" for name, value in first.options.items()]
    if others:
        arguments.append(f"compare=[{', '.join(literal(_compared(each)) for each in others)}]")
    if data == NOTHING:
        arguments.append("report=False")
    elif data:
        arguments.append(f"dataset={spelled_data(data)}")
    if scorer:
        arguments.append(f"scorer={spelled_scorer(scorer)}")
    name = "model" if opened else model
    call = f"exported = {name}.export({', '.join(arguments)})"
    if len(call) > 110:
        call = f"exported = {name}.export(\n" + "".join(f"    {each},\n" for each in arguments) + ")"
    before = ["import shadownb as snb", ""] if opened or model.startswith("snb.") or "snb." in call else []
    before += [f"model = snb.load({literal(model)})"] if opened else []
    return "\n".join([*before, call, 'exported  # exported.plot(), exported.push_to_hub("me/name")']) + "\n"


def _compared(offer: Any) -> Any:
    if offer.format == "gguf":
        return offer.options["quant"]
    return {"format": offer.format, **offer.options} if offer.options else offer.format


def _words(first: Any, others: Sequence[Any], folder: str, data: str, scorer: str) -> str | None:
    """Return the options of the command; None where it can't say them."""
    compared = [_compared(each) for each in others]
    if any(not isinstance(each, str) for each in compared) or data.startswith(("rows:", "heldout:", "capture:")):
        return None
    words = ["--to", shlex.quote(folder), "--fmt", first.format]
    for name, value in first.options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    if compared:
        words += ["--compare", ",".join(compared)]
    if data == NOTHING:
        words.append("--no-report")
    elif data:
        kind, _, rest = data.partition(":")
        words += ["--data", shlex.quote(rest.replace(":", ".") if kind == "sample" else rest)]
    else:
        words.append("--report")
    if scorer:
        words += ["--scorer", shlex.quote(scorer.partition(":")[2])]
    return " ".join(words)


def pushed(found: Any) -> dict[str, Any]:
    """Return what was uploaded, or would be, as the page shows it."""
    return {
        "repo": found.repo,
        "private": found.private,
        "files": [[name, size] for name, size in found.files],
        "sent": found.sent,
        "url": found.url,
    }


def push_code(export: str, repo: str, private: bool, send: bool) -> str:
    """Return the cell that exports and pushes."""
    said = [literal(repo.strip()), *([] if private else ["private=False"]), *(["dry_run=False"] if send else [])]
    lines = [line for line in export.splitlines() if not line.startswith(("exported  #", "print(exported.push_to_hub"))]
    return "\n".join([*lines, f"print(exported.push_to_hub({', '.join(said)}))"]) + "\n"


def snapshot(exported: Any) -> str:
    """Return the last export as plain text."""
    if exported is None:
        return "ShadowNB export: nothing was exported here yet."
    return f"ShadowNB export: {exported}"
