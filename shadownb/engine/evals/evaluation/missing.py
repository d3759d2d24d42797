"""What an evaluation lacks, in sentences: suites that could not be asked, questions without an answer or a verdict."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation.evaluation import Evaluation


def missing(evaluation: Evaluation) -> list[str]:
    """Return a sentence for each thing that is missing."""
    told = [f"{suite} is in no mean: {reason}" for suite, reason in evaluation.refused.items()]
    for suite in evaluation.suites:
        told += [f"{suite}: {each}" for each in evaluation.left_out(suite)]
        for side in evaluation.sides:
            cell = evaluation.cell(suite, side)
            if cell.unanswered:
                first = next(e for each in evaluation.items(suite, side) for e in each.errors if e)
                told.append(f"{suite}: {side} gave no answer to {_counted(cell.unanswered, 'question')} ({first})")
            if cell.ungraded:
                why = Counter(
                    v["reason"] for e in evaluation.items(suite, side) for v in e.verdicts if v and v["value"] is None
                )
                most = f" ({why.most_common(1)[0][0]})" if any(why) else ""
                count, are = _counted(cell.ungraded, "answer"), "is" if cell.ungraded == 1 else "are"
                told.append(f"{suite}: {count} of {side} could not be graded and {are} in no mean{most}")
            waiting = cell.answered - cell.ungraded - sum(len(each.values) for each in evaluation.items(suite, side))
            if waiting > 0 and suite not in evaluation.refused and evaluation.status != "working":
                count, are = _counted(waiting, "answer"), "is" if waiting == 1 else "are"
                told.append(f"{suite}: {count} of {side} {are} not graded yet; evaluate again by this name")
    return told


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
