"""compare(): the same held-out rows answered by the base and by the tuned weights, scored and paired.

The context of a row is its messages up to the last assistant turn, the reference is that turn. Both sides get the same
prompts, sampling and seed, so the difference of a row is the training's doing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from shadownb.engine.evals.cases import Case, as_text, batches_of, cases_of, fitting
from shadownb.engine.evals.comparison import GREEDY, ComparedRow, Comparison
from shadownb.engine.inference.types import Sampling
from shadownb.engine.models.asking import Asking
from shadownb.errors import ConfigError, ShadowWarning

Progress = Callable[[int, int], None]


def compare(
    model: Any,
    dataset: Any,
    scorer: Callable[..., Any],
    *,
    sampling: Sampling = GREEDY,
    max_new_tokens: int | None = None,
    max_rows: int | None = None,
    batch_rows: int = 32,
    progress: Progress | None = None,
) -> Comparison:
    """Answer held-out rows with the base and the tuned weights and score both.

    Parameters
    ----------
    model
        Anything with ``chat(list_of_messages, use="base"|"tuned", ...) -> list[Reply]``.
    dataset
        Whatever holds rows with an answer: a Dataset, a list, a data frame, a ``datasets.Dataset``.
    scorer
        ``scorer(output, expected, prompt=...)`` returning a Score, or a number.
    sampling
        For both sides; greedy by default. Without a seed a sampling that is not greedy gets seed 0.
    max_new_tokens
        Longest answer, instead of the sampling's; a task with short answers is compared much faster with it.
    max_rows
        Use only the first so many rows.
    batch_rows
        Rows a call of ``model.chat``; ``progress`` is called between them.
    progress
        ``progress(done, total)``, counted in answers (two a row).

    Raises
    ------
    DataError
        No row has a conversation that ends in an assistant turn.
    ConfigError
        ``max_rows`` or ``batch_rows`` is below 1.
    """
    for name, value in (("max_rows", max_rows), ("batch_rows", batch_rows)):
        if value is not None and value < 1:
            raise ConfigError(f"{name}={value} is out of range.", fix=f"Give {name} from 1 on.")
    if max_new_tokens is not None:
        sampling = dataclasses.replace(sampling, max_new_tokens=max_new_tokens)
    if not sampling.greedy and sampling.seed is None:
        sampling = dataclasses.replace(sampling, seed=0)
    if getattr(model, "trained", True) is None:
        warnings.warn("The model is not trained yet: base and tuned are the same weights.", ShadowWarning, stacklevel=2)
    cases, skipped = cases_of(dataset)
    cases, left_out = fitting(model, cases[:max_rows])
    if left_out:
        shown = "; ".join(f"row {index}: {reason}" for index, reason in left_out[:3])
        what = f"{len(left_out):,} of {len(left_out) + len(cases):,} rows cannot be answered and are left out. {shown}"
        warnings.warn(what, ShadowWarning, stacklevel=2)
    started = time.monotonic()
    answers: dict[str, list[str]] = {"base": [], "tuned": []}
    for batch in batches_of(cases, batch_rows):
        for use in answers:
            answers[use] += (
                _base_answer(model, batch, sampling) if use == "base" else _answer(model, batch, use, sampling)
            )
            if progress is not None:
                progress(sum(map(len, answers.values())), 2 * len(cases))
    rows = tuple(
        _scored(scorer, case, base, tuned)
        for case, base, tuned in zip(cases, answers["base"], answers["tuned"], strict=True)
    )
    name = getattr(scorer, "name", None) or getattr(scorer, "__name__", None) or type(scorer).__name__
    return Comparison(rows, str(name), sampling, time.monotonic() - started, skipped, tuple(left_out))


# A base answers the same in every comparison, and ten methods on one task are ten comparisons. Keyed by what decides the
# answers: weights, number format, rows of the batch (sums in another order can differ), sampling.
_base_answers: OrderedDict[str, list[str]] = OrderedDict()
_KEPT_BATCHES = 200


def _base_answer(model: Any, batch: Sequence[Case], sampling: Sampling) -> list[str]:
    known = [getattr(model, name, None) for name in ("base_hash", "quantization", "dtype_name")]
    if known[0] is None:
        return _answer(model, batch, "base", sampling)
    asked = [known, str(model.device), repr(sampling), [[case.messages, case.tools] for case in batch]]
    key = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    if key not in _base_answers:
        _base_answers[key] = _answer(model, batch, "base", sampling)
        while len(_base_answers) > _KEPT_BATCHES:
            _base_answers.popitem(last=False)
    return list(_base_answers[key])


def _answer(model: Any, batch: Sequence[Case], use: str, sampling: Sampling) -> list[str]:
    options: dict[str, Any] = {name: getattr(sampling, name) for name in ("max_new_tokens", "temperature", "top_p")}
    defaults = Sampling()
    for name in ("top_k", "repetition_penalty", "stop", "seed"):
        if getattr(sampling, name) != getattr(defaults, name):
            options[name] = getattr(sampling, name)
    if batch[0].tools:
        options["tools"] = batch[0].tools
    if isinstance(model, Asking):  # the rows are asked as they are, whatever the training was on
        options |= {"tools": batch[0].tools, "system": None}
    replies = model.chat([case.messages for case in batch], use=use, **options)
    assert len(replies) == len(batch), "model.chat answers every conversation"
    return [as_text({"content": reply.content, "tool_calls": reply.tool_calls}) for reply in replies]


def _scored(scorer: Callable[..., Any], case: Case, base: str, tuned: str) -> ComparedRow:
    prompt = as_text(case.messages[-1])
    base_score, base_reason = _score(scorer, case, base, prompt)
    tuned_score, tuned_reason = _score(scorer, case, tuned, prompt)
    return ComparedRow(
        case.index, case.messages, case.expected, base, tuned, base_score, tuned_score, base_reason, tuned_reason
    )


def _score(scorer: Callable[..., Any], case: Case, output: str, prompt: str) -> tuple[float, str]:
    score = scorer(output, case.expected, prompt=prompt)
    value = float(getattr(score, "value", score))
    if not math.isfinite(value):
        raise ConfigError(
            f"The scorer gave {value} for row {case.index}.",
            fix="Return a finite number for every output, 0 for one that cannot be judged.",
        )
    return value, str(getattr(score, "reason", "") or "")
