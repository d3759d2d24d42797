"""How a comparison is shown: as text in a terminal and as HTML in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shadownb.engine.evals.comparison import Comparison

_SHOWN_ROWS = 5
_SHOWN_CHARACTERS = 300
_NAMED_ROWS = 3
_REASON_CHARACTERS = 90


def _lines(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return name, mean and interval of both sides and of the difference."""
    scores = [answer.score for row in comparison for answer in row.answers]
    shares = all(0 <= s <= 1 for s in scores)

    def show(value: float, sign: str = "") -> str:
        return f"{100 * value:{sign}.1f}" if shares else f"{value:{sign}.3g}"

    def line(name: str, value: float, interval: tuple[float, float], unit: str, sign: str = "") -> tuple[str, str, str]:
        low, high = interval
        return name, show(value, sign) + (unit if shares else ""), f"{show(low, sign)} to {show(high, sign)}"

    first, second, *others = comparison.sides
    lines = [line(side, comparison.mean(side), comparison.mean_interval(side), " %") for side in comparison.sides]
    pair = "difference" if not others and first == "base" else f"{second} minus {first}"
    lines.append(line(pair, comparison.difference, comparison.interval, " points", "+"))
    lines += [line(f"{second} minus {side}", *comparison.gap(second, side), " points", "+") for side in others]
    return lines


def _head(comparison: Comparison) -> str:
    how = "greedy" if comparison.sampling.greedy else f"temperature {comparison.sampling.temperature:g}"
    rows = "row" if len(comparison) == 1 else "rows"
    names = " and ".join([", ".join(comparison.sides[:-1]), comparison.sides[-1]])
    names = names.replace("base", "Base", 1) if names.startswith("base") else names
    return f"{names} on {len(comparison)} held-out {rows}, scored by {comparison.scorer}, {how}"


def _tail(comparison: Comparison) -> list[str]:
    chance = comparison.p_value
    shown = "below 0.0001" if chance < 0.0001 else f"{chance:.4f}"
    first, second, *others = comparison.sides
    of = f"{second} to {first}: " if others or first != "base" else ""
    lines = [
        f"{of}{comparison.wins} better, {comparison.losses} worse, {comparison.ties} the same; exact sign test p {shown}",
        "Intervals hold 95 %; the difference is resampled row by row (paired bootstrap).",
    ]
    if len({row.difference for row in comparison}) == 1:
        lines.append("Every row changed by the same amount, so resampling shows no spread; read the p-value.")
    if comparison.skipped:
        lines.append(f"{comparison.skipped} rows without a reference answer were left out.")
    if comparison.left_out:
        rows = ", ".join(str(index) for index, _ in comparison.left_out[:8])
        lines.append(f"{len(comparison.left_out)} rows that the model cannot answer were left out (rows {rows}).")
    return [*lines, *_told(comparison)]


def _told(comparison: Comparison) -> list[str]:
    """Return what the means do not show: answers that were cut or are no valid call, and rows that are in no mean."""
    lines = []
    sides = [f"the {side}" if side in ("base", "tuned") else side for side in comparison.sides]
    words = {
        "cut at the limit": "Answers cut at the limit "
        f"(max_new_tokens={comparison.sampling.max_new_tokens}, finish_reason 'length')",
        "malformed call": "Answers with a malformed call",
        "no answer after the reasoning": "Answers without an end of the reasoning, so without an answer",
        "empty": "Answers that are empty",
    }
    told = [note for row in comparison for answer in row.answers for note in answer.notes]
    for note in dict.fromkeys([*words, *told]):  # then what servers said, in their words
        counts = [sum(note in row.answers[place].notes for row in comparison) for place in range(len(sides))]
        if any(counts):
            of_each = ", ".join(f"{count} of {side}" for count, side in zip(counts, sides, strict=True))
            lines.append(f"{words.get(note, note.removesuffix('.'))}: {of_each}.")
    offered = [row for row in comparison if row.outcomes]
    if offered:
        kinds = [
            f"{side} "
            + ", ".join(
                f"{kind} {sum(row.answers[place].outcome == kind for row in offered)}"
                for kind in ("called", "abstained", "malformed")
            )
            for place, side in enumerate(comparison.sides)
        ]
        lines.append(f"Where tools were offered: {'; '.join(kinds)}.")
    lines += [str(each) for each in comparison.rented]
    if comparison.unscored:
        named = "; ".join(f"row {row.index}: {_cut(row.reason)}" for row in comparison.unscored[:_NAMED_ROWS])
        more = "; ..." if len(comparison.unscored) > _NAMED_ROWS else ""
        count = len(comparison.unscored)
        rows = "row" if count == 1 else "rows"
        lines.append(
            f"{count} {rows} could not be scored and {'is' if count == 1 else 'are'} in no mean: {named}{more}"
        )
    if comparison.reused:
        whose = "weights (or endpoint)" if comparison.rented else "weights"
        lines.append(
            f"{comparison.reused} answers were kept from an earlier comparison of the same {whose} and prompts."
        )
    return lines


def _cut(text: str) -> str:
    return text if len(text) <= _REASON_CHARACTERS else text[: _REASON_CHARACTERS - 4] + " ..."


def comparison_text(comparison: Comparison) -> str:
    """Return the table as plain text."""
    table = [("", "mean", "95 % interval"), *_lines(comparison)]
    widths = [max(len(line[column]) for line in table) for column in range(3)]
    body = [f"{name:<{widths[0]}}  {mean:>{widths[1]}}  {interval:>{widths[2]}}" for name, mean, interval in table]
    return "\n".join([_head(comparison), "", *body, "", *_tail(comparison)])


def comparison_html(comparison: Comparison) -> str:
    """Return the table as HTML, with the rows where the second side did worst folded below it."""
    body = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(name)}</th><td>{mean}</td><td>{interval}</td></tr>'
        for name, mean, interval in _lines(comparison)
    )
    head = "<thead><tr><td></td><th>mean</th><th>95 % interval</th></tr></thead>"
    tail = "<br>".join(escape(line) for line in _tail(comparison))
    return (
        f'<div class="shadownb-comparison"><p>{escape(_head(comparison))}</p>'
        f"<table>{head}<tbody>{body}</tbody></table><p>{tail}</p>{_worst_html(comparison)}</div>"
    )


def _answer(text: str, score: float, reason: str, notes: tuple[str, ...]) -> str:
    marks = "".join(f" [{note}]" for note in notes)
    most = _SHOWN_CHARACTERS - 100  # so that marks and reason are not what is cut
    shown = text if len(text) <= most else text[:most] + " …"
    return f"{shown}{marks}\n[{score:g}] {reason}"


def _worst_html(comparison: Comparison) -> str:
    def cell(text: Any) -> str:
        shown = str(text)
        shown = shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + " …"
        return f'<td style="text-align:left;white-space:pre-wrap;vertical-align:top">{escape(shown)}</td>'

    rows = "".join(
        "<tr>"
        + "".join(
            cell(text)
            for text in (
                row.index,
                row.prompt,
                row.expected,
                *(_answer(each.text, each.score, each.reason, each.notes) for each in row.answers),
            )
        )
        + "</tr>"
        for row in comparison.worst(_SHOWN_ROWS)
    )
    names = "".join(f"<th>{escape(name)}</th>" for name in ("row", "prompt", "expected", *comparison.sides))
    shown = min(_SHOWN_ROWS, len(comparison))
    return (
        f"<details><summary>The {shown} rows where {escape(comparison.sides[1])} scored lowest</summary>"
        f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table></details>"
    )
