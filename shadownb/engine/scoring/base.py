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
    """A scorer's verdict on one output.

    Attributes
    ----------
    value : float or None
        A finite number, usually from 0.0 (wrong) to 1.0 (right). None if the output cannot be judged; such a row is in no mean
        and no baseline. A missing verdict is never 0.0.
    reason : str
        One line that says why, to be shown next to the output.

    Examples
    --------
    >>> snb.Score(1.0)
    Score(value=1.0, reason='')
    >>> snb.Score(None, "the output holds no number").value is None
    True
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

    A scorer has to give:

    - a verdict for every output, however odd: models write anything. An exception means that something is wrong with the row,
      which then has no score;
    - ``Score(None, reason)`` if it cannot judge, never 0.0 instead. A bare None is accepted for a row, but a scorer whose first
      result is None is taken for one that forgot to return;
    - the same verdict for the same arguments, in any thread, without changing the arguments;
    - its best value for the expected answer itself, if that is a right answer.

    A scorer may have ``check(expected)``, which raises ValueError if an expected answer cannot be compared with. This is called
    before answers are generated.

    A function that returns a number is a scorer, too; its name is the function's. A scorer that is registered under the kind
    ``scorer`` (a function, or a class that needs no arguments) can be given by its name wherever a scorer is taken.

    Examples
    --------
    >>> class Shortness:
    ...     name = "shortness"
    ...
    ...     def __call__(self, output, expected):
    ...         return snb.Score(min(1.0, len(expected) / max(1, len(output))), f"{len(output)} characters")
    >>> isinstance(Shortness(), snb.Scorer)
    True
    >>> snb.compare(model, rows, Shortness(), max_new_tokens=16).tuned
    1.0
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
