"""Which models our decoder knows: what the architecture says, and a short trial on the model itself."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch

from shadownb.engine.backends.torch import attention
from shadownb.engine.backends.torch.generation.borrowing import bare, plain_view
from shadownb.engine.backends.torch.generation.decoder import Decoder
from shadownb.engine.backends.torch.generation.sampler import Sampler
from shadownb.engine.backends.torch.memory import is_out_of_memory
from shadownb.engine.inference.draws import row_draws
from shadownb.engine.inference.rows import Row
from shadownb.engine.inference.text import AnswerText
from shadownb.engine.inference.types import Sampling
from shadownb.errors import ModelError

# Logits of a row that sees another one are off by 0.016 to 0.5 of their spread, see :mod:`..attention`.
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.2, torch.float16: 0.05}
_START, _OWN, _STEPS = 16, 3, 2  # tokens of the trial's prompts that are shared and not, and tokens that are decoded

_known: dict[tuple[Any, ...], str] = {}
_of_module: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def refused(model: Any) -> str:
    """Return why a transformers or peft model is decoded by the library's ``generate``; an empty string where by ours.

    The trial is made once for an architecture, its sizes and its number format in a process. Whoever calls has the weights, in
    inference state.
    """
    base = bare(model)
    if base not in _of_module:
        key = (type(base), base.config.to_json_string(), base.dtype, str(base.device))
        if key not in _known:
            _known[key] = _refused(base)
        _of_module[base] = _known[key]
    return _of_module[base]


def _refused(base: Any) -> str:
    if base.device.type != "cpu":
        return f"rows are decoded together on the CPU only, not on {base.device.type}"
    likely = next(attention._candidates(base))
    if likely.kind != "rows":
        return likely.reason
    try:
        return "" if _holds(base) else f"{base.config.model_type} answers otherwise when rows are decoded together"
    except (RuntimeError, AttributeError, TypeError, ValueError, IndexError, ModelError) as error:
        if is_out_of_memory(error):
            raise
        return f"{base.config.model_type} cannot be decoded so: {str(error).splitlines()[0]}"


class _Mute:
    def decode(self, *_: Any, **__: Any) -> str:
        return ""


class _Watched(Sampler):
    """Takes the likeliest tokens and keeps the logits of the first row's."""

    def __init__(self) -> None:
        super().__init__(Sampling(temperature=0))
        self.logits: list[torch.Tensor] = []

    def take(self, rows: Sequence[Row], logits: torch.Tensor) -> tuple[list[int], list[float | None]]:
        for row, own in zip(rows, logits, strict=True):
            if row.number == 0:
                self.logits.append(own)
        return super().take(rows, logits)


def _holds(base: Any) -> bool:
    """Return whether a row that shares its start, and has another one beside it, gets the logits that it gets alone."""
    vocabulary = base.config.get_text_config().vocab_size
    tokens = [number * 7919 % vocabulary for number in range(1, 1 + _START + 2 * _OWN)]
    prompts = [tokens[: _START + _OWN], [*tokens[:_START], *tokens[_START + _OWN :]], tokens[: _START + _OWN]]
    rows = [
        Row(n, prompt, _STEPS + 1, AnswerText(_Mute()), "tuned", frozenset(), row_draws(0, n))
        for n, prompt in enumerate(prompts)
    ]
    watched = _Watched()
    decoder = Decoder(plain_view(base), rows, watched, 10**9, None, lambda: False, worth_sharing=1)
    while not decoder.done:
        decoder.advance()
    alone = base(
        input_ids=torch.tensor([[*prompts[0], *rows[0].ids[:-1]]], device=base.device), use_cache=False
    ).logits[0, -_STEPS - 1 :]
    alone, found = alone.float(), torch.stack(watched.logits)
    spread = (alone - alone.mean(-1, keepdim=True)).norm(dim=-1)
    off = (found - alone).norm(dim=-1) / spread.clamp_min(1e-6)
    return bool(off.median() < _TOLERANCE.get(base.dtype, 0.05))
