"""How an evaluation is shown as text, Markdown and HTML: what got worse first, models by suites, and regressions item by item."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.engine.evals.evaluation.parts_report import parts_html, parts_table, shares_problems
from shadownb.engine.evals.evaluation.summary import findings, is_share
from shadownb.engine.evals.evaluation.tables import (
    html_table,
    interval_picture,
    markdown_table,
    shown,
    shown_difference,
    text_lines,
)

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation.evaluation import Evaluation
    from shadownb.engine.evals.evaluation.graded import Graded

_REGRESSIONS = 20  # items a suite that a page shows
_SHOWN = 1500  # characters of an answer on a page
_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse}td,th{padding:.3rem .7rem;border-bottom:1px solid #8886;text-align:left;vertical-align:top}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0}"
)


def table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Return head and lines: a line a suite, a column a side, and differences of each later side to the first."""
    first, *others = evaluation.sides
    head = ["suite", "items", *evaluation.sides, *(f"{side} minus {first}" for side in others)]
    corrected = {side: evaluation.p_values(side, first) for side in others}
    lines = []
    for suite in evaluation.suites:
        cells = [evaluation.cell(suite, side) for side in evaluation.sides]
        share = is_share(cells)
        line = [suite, str(max(cell.mean.items for cell in cells)), *(shown(cell.mean) for cell in cells)]
        for side in others:
            told = shown_difference(evaluation.difference(suite, side, first), share=share)
            chance = corrected[side].get(suite)
            line.append(told if chance is None else f"{told}, p {_chance(chance)}")
        lines.append(line)
    return head, lines


def _chance(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.3g}"


def remarks(evaluation: Evaluation) -> list[str]:
    """Return what the means do not show."""
    told = ["Intervals hold 95 %; p is the sign test, corrected for the number of suites (Holm)."]
    if evaluation.samples > 1:
        told.append(f"{evaluation.samples} samples an item.")
    for suite in evaluation.suites:
        for side in evaluation.sides:
            cell = evaluation.cell(suite, side)
            notes = [f"{count} {note}" for note, count in cell.notes.items()]
            ways = [
                f"{count} {way}" for way, count in cell.outcomes.items() if way not in ("passed", "failed", "exact")
            ]
            if cell.by_extraction:
                by_rule = ", ".join(f"{rule} {100 * value:.1f} %" for rule, value in cell.rules.items())
                ways.append(f"{cell.by_extraction} verdicts hang on how the answer is taken out ({by_rule})")
            if notes or ways:
                told.append(f"{suite}, {side}: {', '.join([*notes, *ways])}.")
    return [*told, *(f"{problem.rstrip('.')}." for problem in evaluation.problems())]


def text(evaluation: Evaluation) -> str:
    """Return table, findings and remarks as plain text."""
    head, lines = table(evaluation)
    body = text_lines(head, lines)
    told = findings(evaluation)
    for suite in evaluation.suites:
        if shares_problems(evaluation, suite) and (found := parts_table(evaluation, suite)):
            body += ["", *text_lines(*found)]
    return "\n".join([*body, "", *told, *([""] if told else []), *remarks(evaluation), *_theirs(evaluation)])


def markdown(evaluation: Evaluation) -> str:
    """Return table, findings, remarks and what regressed as Markdown."""
    parts = [markdown_table(*table(evaluation))]
    if told := findings(evaluation):
        parts.append("\n".join(f"- {line}" for line in told))
    for suite in evaluation.suites:
        if found := parts_table(evaluation, suite):
            parts.append(
                f"<details><summary>{escape(suite)}, part by part</summary>\n\n{markdown_table(*found)}\n\n</details>"
            )
    if len(evaluation.sides) > 1:
        parts.append(markdown_table(*differences(evaluation)))
    parts.append("\n".join(f"- {line}" for line in remarks(evaluation)))
    parts += [told.strip() for told in _theirs(evaluation)]
    for title, lost in _lost(evaluation):
        rows = "\n\n".join(f"**{_changed(*pair)[0]}**\n\n{_fenced(_changed(*pair)[1])}" for pair in lost)
        parts.append(f"<details><summary>{escape(title)}</summary>\n\n{rows}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _fenced(text: str) -> str:
    """Return text in a fence that is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}diff\n{text}\n{fence}"


def differences(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Return head and lines of the paired differences: how often each side was better, and how many items would show it."""
    first, *others = evaluation.sides
    lines = []
    for side in others:
        corrected = evaluation.p_values(side, first)
        for suite in evaluation.suites:
            gap = evaluation.difference(suite, side, first)
            if not gap.items:
                continue
            share = is_share([evaluation.cell(suite, each) for each in (side, first)])
            needed = f"{gap.items_needed:,}" if gap.items_needed is not None else "--"
            told = shown_difference(gap, share=share)
            numbers = [str(gap.wins), str(gap.losses), str(gap.ties)]
            lines.append([suite, f"{side} minus {first}", told, *numbers, _chance(corrected[suite]), needed])
    return ["suite", "", "difference", "better", "worse", "same", "p", "items that would show it"], lines


def _theirs(evaluation: Evaluation) -> list[str]:
    told = evaluation.tables().items()
    return [f"\n{suite}, {side}, as its own tool has it:\n\n{table}" for (suite, side), table in told]


def html(evaluation: Evaluation) -> str:
    """Return findings, tables and remarks as HTML, with regressions folded below."""
    head, lines = table(evaluation)
    whole = [html_table(head, [[*line[:2], *_pictured(evaluation, line)] for line in lines])]
    if told := findings(evaluation):
        whole.insert(0, "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in told) + "</ul>")
    whole += [folded for suite in evaluation.suites if (folded := parts_html(evaluation, suite))]
    if len(evaluation.sides) > 1:
        head, lines = differences(evaluation)
        pairs = html_table(head, [[line[0], *map(escape, line[1:])] for line in lines])
        whole.append(f"<details><summary>Paired differences</summary>{pairs}</details>")
    whole.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in remarks(evaluation)) + "</ul>")
    whole += [
        f"<details><summary>{escape(suite)}, {escape(side)}, as its own tool has it</summary><pre>{escape(told)}</pre></details>"
        for (suite, side), told in evaluation.tables().items()
    ]
    name = escape(evaluation.name)
    return f'<div class="shadownb-evaluation"><p>Evaluation {name}</p>{"".join(whole)}{_regressions(evaluation)}</div>'


def _pictured(evaluation: Evaluation, line: list[str]) -> list[str]:
    """Return a line's means with a picture of each interval, where they are shares, and its differences."""
    cells = [evaluation.cell(line[0], side) for side in evaluation.sides]
    pictures = [interval_picture(cell.mean) if is_share(cells) else "" for cell in cells]
    means = [f"{escape(words)}{picture}" for words, picture in zip(line[2 : 2 + len(cells)], pictures, strict=True)]
    return [*means, *map(escape, line[2 + len(cells) :])]


def page(evaluation: Evaluation) -> str:
    """Return a whole page."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(evaluation.name)}</title>'
        f"<style>{_STYLE}</style><body>{html(evaluation)}</body></html>"
    )


def written(report: str, path: str | Path | None) -> str:
    """Return a report, written to a file where one is named."""
    if path is not None:
        from shadownb.engine.disk import write_atomically

        write_atomically(Path(path).expanduser(), report)
    return report


def _lost(evaluation: Evaluation) -> Iterator[tuple[str, list[tuple[Graded, Graded]]]]:
    """Yield a title and the items for each suite and side that got worse than the first on some."""
    first, *others = evaluation.sides
    for side in others:
        for suite in evaluation.suites:
            if lost := evaluation.regressions(suite, side, first):
                of_these = f", {_REGRESSIONS} of them here" if len(lost) > _REGRESSIONS else ""
                yield f"{suite}: {len(lost)} items got worse from {first} to {side}{of_these}", lost[:_REGRESSIONS]


def _regressions(evaluation: Evaluation) -> str:
    parts = []
    for title, lost in _lost(evaluation):
        rows = [[name, *(f"<pre>{escape(cell)}</pre>" for cell in rest)] for name, *rest in map(_changed_pair, lost)]
        parts.append(
            f"<details><summary>{escape(title)}</summary>"
            f"{html_table(['item', 'asked', 'what changed', 'why'], rows)}</details>"
        )
    return "".join(parts)


def _changed_pair(pair: tuple[Graded, Graded]) -> tuple[str, str, str, str]:
    name, changes, reason = _changed(*pair)
    return name, asked_of(pair[0])[:_SHOWN], changes, reason


def asked_of(graded: Graded) -> str:
    """Return the last message of an item's question; empty where it is measured."""
    messages = graded.item.messages
    content = messages[-1].get("content") if messages else ""
    return content if isinstance(content, str) else str(content or "")


def _changed(before: Graded, after: Graded) -> tuple[str, str, str]:
    """Return an item's name, what changed in the graded part of its answers, and why the second is worse."""
    place = next((n for n, v in enumerate(after.verdicts) if v is not None), 0)
    old, new = (str((each.verdicts[place] or {}).get("extracted") or "")[:_SHOWN] for each in (before, after))
    changes = difflib.unified_diff(old.splitlines(), new.splitlines(), "before", "after", lineterm="", n=2)
    reason = (after.verdicts[place] or {}).get("reason", "")
    return after.item.id, "\n".join(changes) or "the same text", str(reason)
