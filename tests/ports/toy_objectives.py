"""Objectives of a dozen lines, one for each thing that can be asked of the forward pass; a file outside of the package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from shadownb.engine.config_options import option
from shadownb.engine.objectives import Chart, Example
from shadownb.engine.objectives.supervised import Supervised


class _Toy(Supervised):
    """Next-token loss with something beside it that is noted, so that it has a curve."""

    name: ClassVar[str]

    @classmethod
    def suits(cls, row: dict[str, Any]) -> bool:
        return False

    def beside(self, ops: Any, tokens: Any) -> Any:
        raise NotImplementedError

    def loss(self, ops: Any, tokens: Any, examples: Sequence[Example], *, held_out: bool) -> Any:
        beside = self.beside(ops, tokens)
        self.note(ops, self.name, beside)
        return ops.sum(-tokens.logp) + ops.sum(beside)


class Entropy(_Toy):
    name, needs = "entropy", frozenset({"entropy"})
    charts = (Chart("entropy", "Entropy", (("entropy", "entropy"),)),)

    def beside(self, ops: Any, tokens: Any) -> Any:
        return -0.01 * tokens.entropy


class TopK(_Toy):
    name, needs = "top", frozenset({"top_k"})

    def beside(self, ops: Any, tokens: Any) -> Any:
        ids, logs = tokens.top_k(2)
        assert len(ids) == len(logs) == len(tokens.logp)
        return 0.01 * (logs[:, 0] - logs[:, 1])


class Logits(_Toy):
    name, needs = "logit", frozenset({"logits"})

    def beside(self, ops: Any, tokens: Any) -> Any:
        return 0.001 * tokens.logits[:, 5]


class Hidden(_Toy):
    name, needs = "hidden", frozenset({"hidden"})

    def beside(self, ops: Any, tokens: Any) -> Any:
        return 0.001 * tokens.hidden[:, 5]


class Value(_Toy):
    """Has the head say 1 of every token."""

    name, needs = "value_error", frozenset({"value"})

    def beside(self, ops: Any, tokens: Any) -> Any:
        return (tokens.value - 1.0) ** 2


class Rows(_Toy):
    """Weights rows and tokens by numbers of its own, and reads what it spread."""

    name = "spread"

    def beside(self, ops: Any, tokens: Any) -> Any:
        logs = tokens.listed(tokens.logp)
        assert len(logs) == tokens.rows
        there = tokens.spread(logs)
        again = ops.listed(ops.sum(ops.abs(there - ops.stop(tokens.logp))))
        assert again < 1e-4, "what was listed and spread again is the same"
        weight = tokens.over([1.0] * tokens.rows)
        return 0.01 * ops.clip(weight * tokens.logp, -1.0, None)


class WeightOptions(BaseModel):
    toy_weight: float = option(1.0, "How much longer answers count.", ge=0, le=10)
    toy_words: tuple[str, ...] = option((), "Words that are looked for.", advanced=True)
    toy_shape: Literal["flat", "steep"] = Field("flat", description="What stands between them.")


class Weighted(_Toy):
    """Has options of its own."""

    name, options, own = "weighted", WeightOptions, WeightOptions()

    def beside(self, ops: Any, tokens: Any) -> Any:
        return (self.own.toy_weight - 1.0) * -tokens.logp


class FailOptions(BaseModel):
    fail_rank: int = option(0, "The process that fails.")
    fail_step: int = option(1, "Its step, counted from 0.")
    fail_in: Literal["begin", "loss", "prepare"] = option("loss", "Where.")


class Failing(_Toy):
    """Fails in one of several processes."""

    name, options, own = "failing", FailOptions, FailOptions()
    _step = -1

    def _look(self, place: str) -> None:
        here = (int(os.environ.get("RANK", "0")), max(self._step, 0), place)
        if here == (self.own.fail_rank, self.own.fail_step, self.own.fail_in):
            raise ZeroDivisionError(f"in {place}")

    def prepare(self, *args: Any, **more: Any) -> None:
        self._look("prepare")

    def begin(self, ops: Any, examples: Any, score: Any, *, held_out: bool) -> None:
        self._step += 1
        self._look("begin")

    def loss(self, ops: Any, tokens: Any, examples: Sequence[Example], *, held_out: bool) -> Any:
        self._look("loss")
        return ops.sum(-tokens.logp)


class Nothing(_Toy):
    """Asks for what it does not name."""

    name = "nothing"

    def beside(self, ops: Any, tokens: Any) -> Any:
        return tokens.entropy


ALL = (Entropy, TopK, Logits, Hidden, Value, Rows)
