"""The rows of a Dataset as a model sees them: how many tokens, and which of them are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadownb.engine.data.base import CheckedRows
from shadownb.errors import ConfigError, MethodError

if TYPE_CHECKING:
    from shadownb.engine.data.statistics import TokenStatistics
    from shadownb.engine.lengths import Lengths
    from shadownb.engine.rendering import Inspection, LossOn, Renderer
    from shadownb.engine.rendering.drops import OnDrop


class WithModel(CheckedRows):
    """What a :class:`Dataset` says together with a model or tokenizer."""

    def token_statistics(
        self, model: Any, *, loss_on: LossOn = "assistant", max_length: int | None = None
    ) -> TokenStatistics:
        """Return how many tokens the rows have for a model or tokenizer: minimum, median, mean, maximum, trained tokens.

        Parameters
        ----------
        model
            A loaded model or a transformers tokenizer.
        loss_on
            Which tokens count as trained, as in :class:`TrainConfig`.
        max_length
            Rows longer than this are counted; None is the model's ``max_length``.

        Examples
        --------
        >>> snb.Dataset.from_list(rows).token_statistics(model, max_length=48)
        TokenStatistics(rows: 12, tokens a row: 40 to 48, median: 46, ... longer than 48: 0)
        """
        from shadownb.engine.data.statistics import token_statistics

        limit = _longest_row(model, max_length)
        return token_statistics(_renderer(model), self.canonical_rows(), loss_on=loss_on, max_length=limit)

    def inspect(
        self,
        model: Any,
        row: int = 0,
        *,
        method: str | None = None,
        loss_on: LossOn = "assistant",
        max_length: int | None = None,
        on_template_drop: OnDrop | None = None,
    ) -> Inspection:
        """Return the exact tokens that a model (or tokenizer) sees for a row, and which of them are trained.

        Parameters
        ----------
        method
            The training method; None chooses one by the row's shape.
        max_length
            Most tokens of a sequence; None is the model's ``max_length``. Never more than the model has positions.
        on_template_drop
            As in :class:`TrainConfig`; None is the model's setting.

        Raises
        ------
        DataError
            The row cannot be used, or the chat template refuses it or drops part of it.
        MethodError
            The method needs rows of another shape.

        Examples
        --------
        >>> print(snb.Dataset.from_list(rows).inspect(model, row=4))
        row 4; 40 tokens, 8 trained (loss on assistant)
        [[...]] is trained. ...
        <|im_start|>user
        I paid twice.<|im_end|>
        <|im_start|>assistant
        [[billing<|im_end|>]]
        """
        from shadownb.engine import methods
        from shadownb.engine.objectives.inspection import inspect_row

        canonical = self.canonical_row(row)
        spec = methods.get(method) if method is not None else None
        reason = spec.unfit(self.format) if spec is not None else None
        if reason is not None:
            raise MethodError(f"{reason}.", fix="Choose a method for this data: shadownb.methods.available().")
        renderer = _renderer(model)
        return inspect_row(
            renderer if on_template_drop is None else renderer.under(on_template_drop),
            canonical,
            objective=spec.objective if spec is not None else None,
            long_rows=spec.long_rows if spec is not None else "cut",
            loss_on=loss_on,
            max_length=_longest_row(model, max_length, method),
            number=row,
        )


def _renderer(model: Any) -> Renderer:
    from shadownb.engine.rendering import Renderer, Tokenizer

    own: Renderer | None = getattr(model, "renderer", None)
    if own is None and not isinstance(model, Tokenizer):
        raise ConfigError(
            f"model={model!r} is neither a model nor a tokenizer.",
            why="Tokens are shown as one of them has them.",
            fix="Load it first: model = shadownb.load(name); or give a tokenizer of transformers.",
        )
    return own if own is not None else Renderer(model)


def _longest_row(model: Any, asked: int | None, method: str | None = None) -> int | None:
    """Return the most tokens of a row as training cuts it; None where only a tokenizer is given, which sets no limit."""
    if not hasattr(model, "lengths"):
        return asked if asked is not None else getattr(model, "max_length", None)
    from shadownb.engine.config import TrainConfig

    config = TrainConfig(method=method) if method is not None else None
    lengths: Lengths = model.lengths
    return lengths.longest_row(asked, config)
