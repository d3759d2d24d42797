"""Objective: all that a training is for. What its rows are, how they become examples, what the loss is, what is watched.

The loop owns steps, gate and events, a backend the passes; an objective says how the log-probabilities of a pass become loss
and metrics. A step's loss is a sum over its passes divided by one number (trained tokens, pairs, answers), so the split into
passes changes nothing but rounding. No framework is named here: a loss is written over :class:`~..ports.arrays.Ops`.

An objective is one class in one file, from outside of the package, too: it is registered by name
(``registry.register("objective", "my", "my_package.mine:Mine")``), and a method names it in its spec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import LossOn, Rendered

if TYPE_CHECKING:
    from pydantic import BaseModel

    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.arrays import Need, Ops, Tokens
    from shadownb.engine.objectives.sources import ExampleSource, SourceRun
    from shadownb.engine.rendering.renderer import Renderer

# (rows of each bundle) -> yields (numbers of the bundles of a pass, their tokens), of the weights as they are
Score = Callable[[Sequence[Sequence[Rendered]]], "Iterator[tuple[list[int], Tokens[Any]]]"]
Row = dict[str, Any]
EVERY_COLUMN = "*"


@dataclass(frozen=True)
class Chart:
    """A chart of an objective's own metrics.

    Attributes
    ----------
    curves
        (metric, what it is called), the headline first.
    share
        Whether values are shares between 0 and 1.
    first
        Whether a run is watched by it rather than by its loss.
    """

    name: str
    title: str
    curves: tuple[tuple[str, str], ...]
    share: bool = False
    first: bool = False

    @property
    def headline(self) -> str:
        """The metric that stands for the chart where there is room for one number."""
        return self.curves[0][0]

    @property
    def words(self) -> str:
        """The title within a sentence: "reward margin", but "KL divergence"."""
        return self.title if self.title[1:2].isupper() else self.title[:1].lower() + self.title[1:]

    def text(self, value: float) -> str:
        """Return a value as it is read: a share in percent, anything else with four digits."""
        return f"{value:.0%}" if self.share else f"{value:.4g}"


@dataclass(frozen=True)
class Remark:
    """Something about the examples that the user should see; it does not stop the run."""

    what: str
    why: str
    fix: str
    code: str = "warning"


class Objective:
    """One objective of one run.

    Attributes
    ----------
    unit
        What the loss is a mean over.
    formats
        The shapes of data sets that it can train on.
    fields
        Options of every training that only it and its like honour.
    options
        A pydantic model of options of its own, which its methods then take beside those of every training, in calls, forms,
        flags and files alike; None where it has none. Each has a default; ``config_options.option`` gives it a place in forms.
    own
        The values of these options, an instance of that model.
    columns
        Columns of the data set that it reads beside what rows are rendered from (a reward, a teacher's tokens). Every row has
        to have them; they are kept with the run's rows, and examples have them as ``columns``. :data:`EVERY_COLUMN` is whatever
        stands beside question and conversation, and no row has to have it.
    functions
        Those of its options that name functions and other objects (see :mod:`shadownb.engine.functions`).
    needs
        What it needs of the forward pass beside log-probabilities; nothing else is computed.
    charts
        What is drawn beside the loss.
    judged_by_loss
        Whether a loss that climbs says that training goes wrong.
    temperature
        What logits are divided by before log-probabilities are taken: of answers that were sampled so.
    iterations
        Steps that each batch of the source is trained for.
    ended
        Why the training is to end before its last step; empty while it goes on. Looked at after each step.
    max_length
        Most tokens of a row, also of one that the objective makes.
    """

    unit: ClassVar[str]
    formats: ClassVar[tuple[str, ...]]
    fields: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[type[BaseModel] | None] = None
    columns: ClassVar[tuple[str, ...]] = ()
    functions: ClassVar[tuple[str, ...]] = ()
    judged_by_loss: ClassVar[bool] = True
    needs: ClassVar[frozenset[Need]] = frozenset()
    charts: ClassVar[tuple[Chart, ...]] = ()
    temperature: float = 1.0
    iterations: int = 1
    ended: str = ""

    def __init__(self, config: TrainConfig, max_length: int) -> None:
        self.config = config
        self.own: Any = config.objective_options
        self.max_length = max_length
        self.since_log: dict[str, list[float]] = {}  # sums and counts that are not reported yet; part of a checkpoint

    @classmethod
    def honoured(cls) -> tuple[str, ...]:
        """Return the names of the options that it and its like honour."""
        return (*cls.fields, *(cls.options.model_fields if cls.options is not None else ()))

    # -- rows -------------------------------------------------------------------------------------------------------

    @classmethod
    def suits(cls, row: Row) -> bool:
        """Return whether a canonical row's own shape suggests this objective."""
        return False

    @classmethod
    def rows_of(cls, value: Any) -> list[Row] | None:
        """Return the rows of something that this objective alone takes as data; None for anything else."""
        return None

    @classmethod
    def check(cls, config: TrainConfig, rows: Sequence[Row], eval_rows: Sequence[Row]) -> None:
        """Raise for what speaks against training on canonical rows with these options, before anything starts.

        Raises
        ------
        ConfigError, DataError
            With what to do.
        """

    @classmethod
    def examples(
        cls, renderer: Renderer, row: Row, *, loss_on: LossOn, max_length: int | None, long_rows: str
    ) -> list[Example]:
        """Return the examples that a canonical row gives.

        Raises
        ------
        DataError
            The template refuses the row, or a tool would not reach the model.
        """
        raise NotImplementedError

    @classmethod
    def captions(cls, example: Example) -> list[tuple[str, tuple[Rendered, ...]]]:
        """Return the sides of an example with what each is called, for whoever looks at its tokens."""
        return [("", example.sequences)]

    def arrange(self, examples: list[Example]) -> list[Example]:
        """Return the examples as they are trained, after all were rendered."""
        return examples

    def source(self, epochs: ExampleSource, run: SourceRun) -> ExampleSource:
        """Return where the examples of each step come from: the epochs over the rows, or what it makes of them in the run.

        Parameters
        ----------
        run
            What the run does for a source: has the weights of the moment answer prompts, keeps what was answered.
        """
        return epochs

    @classmethod
    def total_steps(cls, config: TrainConfig, items: int) -> int | None:
        """Return how many steps a run over so many rows has; None where that is the options of every training to say."""
        return None

    def expected(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Return what stands for the rows' share of the work where time and memory are estimated: the examples as they are."""
        return examples

    def evaluate(self, source: ExampleSource, held_out: Sequence[Example]) -> tuple[float, dict[str, float]] | None:
        """Return (what is to be low, metrics) of the evaluation examples; None where that is the loss on them."""
        return None

    def remarks(self, examples: Sequence[Example], unit: str) -> Iterator[Remark]:
        """Yield what is to be said about examples before they are trained; ``unit`` is what they are called."""
        yield from ()

    # -- before and between steps -------------------------------------------------------------------------------------

    def prepare(
        self, ops: Ops[Any], examples: Sequence[Example], score: Score, *, needed: Sequence[int], held_out: bool
    ) -> None:
        """Compute what must be known before the first step; ``needed`` are the numbers of the examples the run will see."""

    def begin(self, ops: Ops[Any], examples: Sequence[Example], score: Score, *, held_out: bool) -> None:
        """Look at a whole step before its passes are computed."""

    @classmethod
    def looked_at(cls, seen: float, distinct: float) -> float:
        """Return how many examples are computed without gradients beside a training of ``seen``, ``distinct`` of them different."""
        return 0.0

    def close(self) -> None:
        """Give back what it alone holds, at the end of an attempt, however that ends."""

    def save(self, folder: Path) -> None:
        """Write what :meth:`prepare` found into a checkpoint."""

    def load(self, folder: Path) -> bool:
        """Read what :meth:`save` wrote; returns whether it was there."""
        return True

    # -- loss -------------------------------------------------------------------------------------------------------

    def count(self, examples: Sequence[Example]) -> int:
        """Return the number that a step's summed loss is divided by."""
        raise NotImplementedError

    def loss(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example], *, held_out: bool) -> Any:
        """Return the summed loss of a pass, an array of shape (); ``examples`` are those whose rows are in it, in that order."""
        raise NotImplementedError

    # -- metrics ----------------------------------------------------------------------------------------------------

    def note(self, ops: Ops[Any], name: str, values: Any) -> None:
        """Remember an array of values of which the next report gives the mean."""
        numbers = ops.stop(values)
        total = self.since_log.setdefault(name, [0.0, 0.0])
        total[0] += float(ops.listed(ops.sum(numbers)))
        total[1] += len(numbers) if getattr(numbers, "shape", ()) else 1

    def note_number(self, name: str, value: float) -> None:
        """Remember a number of which the next report gives the mean."""
        total = self.since_log.setdefault(name, [0.0, 0.0])
        total[0] += value
        total[1] += 1

    def metrics(self) -> dict[str, float]:
        """Return the means since the last call."""
        means = {name: total / count for name, (total, count) in self.since_log.items() if count}
        self.since_log = {}
        return means
