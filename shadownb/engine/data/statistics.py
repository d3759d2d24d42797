"""How long the rows of a data set are for a model, and how much of them is trained."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.rendering import LossOn, Renderer


@dataclass(frozen=True)
class TokenStatistics:
    """Token counts over the rows that can be rendered, before any cut.

    Attributes
    ----------
    rows
        Rows counted.
    minimum, median, mean, p95, maximum
        Tokens of a row.
    total
        Tokens of all rows.
    trained
        Tokens the loss counts, after the cut at ``max_length``.
    max_length
        The limit that was checked, or None.
    over_max_length
        Rows longer than that; their ends are cut off.
    untrained_rows
        Rows of which nothing is trained, because the cut takes every trained token or no turn qualifies.
    refused_rows
        Rows that the model's chat template cannot render; they are in no other number, and a run leaves them out.
    untrainable_turns
        Assistant turns that no sequence can train, because the template never prompts for them.
    left_out
        What the template leaves out of how many rows, by the name of the part.
    lengths
        The tokens of each row, in the order of the rows; None where it cannot be rendered.
    """

    rows: int
    minimum: int
    median: float
    mean: float
    p95: int
    maximum: int
    total: int
    trained: int
    max_length: int | None
    over_max_length: int
    untrained_rows: int
    refused_rows: int = 0
    untrainable_turns: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    lengths: tuple[int | None, ...] = ()

    def histogram(self, bins: int = 20) -> list[tuple[int, int, int]]:
        """Return how many rows have how many tokens, as (fewest, most, rows) of at most so many bins of one width.

        Examples
        --------
        >>> snb.Dataset.from_list(rows).token_statistics(model).histogram(3)
        [(40, 42, 1), (43, 45, 5), (46, 48, 6)]
        """
        width = max(1, math.ceil((self.maximum - self.minimum + 1) / max(1, bins)))
        counts = [0] * ((self.maximum - self.minimum) // width + 1)
        for length in self.lengths:
            if length is not None:
                counts[(length - self.minimum) // width] += 1
        begins = (self.minimum + at * width for at in range(len(counts)))
        return [(begin, begin + width - 1, count) for begin, count in zip(begins, counts, strict=True)]

    def figures(self) -> list[tuple[str, str]]:
        """Return name and value of what is shown; problems only where there are some."""
        share = self.trained / self.total if self.total else 0.0
        entries = [
            ("rows", f"{self.rows:,}"),
            ("tokens a row", f"{self.minimum:,} to {self.maximum:,}"),
            ("median", f"{self.median:,.0f}"),
            ("mean", f"{self.mean:,.1f}"),
            ("95th percentile", f"{self.p95:,}"),
            ("tokens in all", f"{self.total:,}"),
            ("trained", f"{self.trained:,} ({share:.0%})"),
        ]
        if self.max_length is not None:
            entries.append((f"longer than {self.max_length:,}", f"{self.over_max_length:,}"))
        if self.untrained_rows:
            entries.append(("rows with nothing to train", f"{self.untrained_rows:,}"))
        if self.refused_rows:
            entries.append(("rows that cannot be rendered", f"{self.refused_rows:,}"))
        if self.untrainable_turns:
            entries.append(("turns that cannot be trained", f"{self.untrainable_turns:,}"))
        entries += [(f"{part} left out in rows", f"{count:,}") for part, count in self.left_out.items()]
        return entries

    def __repr__(self) -> str:
        return "TokenStatistics(" + ", ".join(f"{name}: {value}" for name, value in self.figures()) + ")"

    def __str__(self) -> str:
        return "\n".join(f"{name:36} {value}" for name, value in self.figures())

    def _repr_html_(self) -> str:
        cell = 'style="text-align:left;color:inherit;padding:.1em .8em .1em 0"'
        body = "".join(
            f'<tr><th scope="row" {cell}>{escape(name)}</th><td {cell}>{escape(value)}</td></tr>'
            for name, value in self.figures()
        )
        return f'<table aria-label="Token statistics" style="background:transparent;color:inherit">{body}</table>'

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, without the length of each row."""
        return {name: value for name, value in asdict(self).items() if name != "lengths"}


def token_statistics(
    renderer: Renderer, rows: list[dict[str, Any]], *, loss_on: LossOn = "assistant", max_length: int | None = None
) -> TokenStatistics:
    """Return the statistics of canonical rows. A preference row counts as its two conversations.

    Raises
    ------
    DataError
        No row can be rendered; the error is that of the first.
    """
    from shadownb.engine.objectives import examples
    from shadownb.engine.rendering.drops import WORDS
    from shadownb.engine.rendering.fit import Fit

    fit = Fit()
    lengths: list[int] = []
    by_row: list[int | None] = []
    trained = over = untrained = 0
    refused: list[DataError] = []
    for row in rows:
        length = taught = 0
        cut = False
        try:
            found = examples(renderer, row, loss_on=loss_on, max_length=max_length)
        except DataError as error:
            refused.append(error)
            by_row.append(None)
            continue
        fit.add(found)
        for example in found:
            for sequence in example.rows:
                length += len(sequence.input_ids) + sequence.truncated_tokens
                taught += sequence.trained_tokens
                cut = cut or sequence.truncated_tokens > 0
        lengths.append(length)
        by_row.append(length)
        trained += taught
        over += cut
        untrained += taught == 0
    if refused and not lengths:
        raise refused[0]
    lengths.sort()
    count = len(lengths)
    middle = (lengths[(count - 1) // 2] + lengths[count // 2]) / 2
    return TokenStatistics(
        rows=count,
        minimum=lengths[0],
        median=middle,
        mean=sum(lengths) / count,
        p95=lengths[math.ceil(0.95 * count) - 1],
        maximum=lengths[-1],
        total=sum(lengths),
        trained=trained,
        max_length=max_length,
        over_max_length=over,
        untrained_rows=untrained,
        refused_rows=len(refused),
        untrainable_turns=fit.untrainable_turns,
        left_out={WORDS[kind]: rows for kind, rows in fit.left_out.items()},
        lengths=tuple(by_row),
    )
