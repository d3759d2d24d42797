"""What every scorer owes, and what it is shown.

A scorer is a function, or an object that can be called. It gets the output and the expected answer, and of what else it names
in its signature::

    def fits_the_tools(output, expected, tools, row):
        if "must_call" not in row:
            return Score(None, "the row does not say which tool is meant")
        return f'"{row["must_call"]}"' in output

Or it takes a whole batch, in the shape that trl's trainers know; each column of the rows is there by its name, and either shape
may be ``async``::

    def short(prompts, completions, **columns):
        return [1 / (1 + len(completion)) for completion in completions]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Score:
    """The verdict on one model output.

    Attributes
    ----------
    value : float or None
        Finite; from 0.0 (wrong) to 1.0 (right) where nothing else is agreed on. None where the output cannot be judged: such
        a row is in no mean and no baseline. A verdict that is missing is never 0.0.
    reason : str
        One line that says why, fit to be shown next to the output.
    """

    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class Sample:
    """One output, and all that a scorer may look at.

    Attributes
    ----------
    output : str
        What the model wrote, unchanged, without its reasoning; calls stand behind the text as one JSON list.
    expected : str
        The reference answer, in the same form.
    prompt : str
        The text of the message that was answered.
    messages : sequence of dict
        The conversation before the answer, in canonical form.
    tools : sequence of dict or None
        The schemas of the tools that were offered.
    row : mapping
        The row as it was given, with every column that it has.
    completion : str
        All that the model wrote, its reasoning too; the output where nothing else is known.
    given, given_prompt
        Completion and prompt as they came, texts or lists of messages; None where they are the texts. Functions of a whole
        batch get these.
    """

    output: str
    expected: str
    prompt: str = ""
    messages: Sequence[dict[str, Any]] = ()
    tools: Sequence[dict[str, Any]] | None = None
    row: Mapping[str, Any] = field(default_factory=dict)
    completion: str = ""
    given: Any = None
    given_prompt: Any = None

    def __post_init__(self) -> None:
        if not self.completion:
            object.__setattr__(self, "completion", self.output)


SHOWN = (
    "prompt",
    "messages",
    "tools",
    "row",
    "completion",
)  # what a scorer gets beside output and expected, if it names it


@runtime_checkable
class Scorer(Protocol):
    """Anything that can judge an output against an expected answer.

    Who implements one owes:

    - a verdict for every output, however odd: models write anything. An exception means that the row is at fault, and leaves
      it without a score;
    - ``Score(None, reason)`` where it cannot say; never 0.0 in place of a verdict that is missing. A bare None is as good for a
      row, but a scorer that begins with it is taken for one that forgot to return;
    - the same verdict for the same arguments, in any thread, and the arguments as they were;
    - the best value that it gives for the reference itself, where the reference is a right answer.

    A scorer may have ``check(expected)``, which raises ValueError where an expected answer cannot be compared with: that is then
    known before answers are made.

    A function that returns a number is one as well: its name is the function's. One that stands in the registry under the kind
    ``scorer``, as a function or as a class that can be made without arguments, is known by that name wherever a scorer is taken.
    """

    @property
    def name(self) -> str:
        """Short identifier, used as a column title in reports."""
        ...

    def __call__(self, output: str, expected: str) -> Score | float | None:
        """Judge one output.

        Parameters
        ----------
        output, expected
            As in :class:`Sample`.
        prompt, messages, tools, row, completion
            As in :class:`Sample`, by keyword; only those that the signature names, or all where it has ``**more``.

        Returns
        -------
        Score, float or None
            The value and the reason for it, a value alone, or None where it cannot say.
        """
        ...
