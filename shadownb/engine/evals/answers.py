"""The answers of a comparison: asked in batches, and kept on disk by everything that decides them.

A comparison that broke off goes on from its last batch, and a base is asked once for many tuned models. An answer is found
again only under the same prompts (as token ids), weights, number format, device, sampling and library versions; of what
was trained the tensors themselves are hashed, so that no run or name can pass for another. What stands behind an endpoint's
name nobody can hash, so its answers are found again by the same ``Endpoint`` object alone: paid once, and gone with the kernel.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from shadownb._version import __version__
from shadownb.engine.endpoint import Endpoint
from shadownb.engine.evals.cases import Case
from shadownb.engine.evals.sides import Side
from shadownb.engine.evals.turns import Turn
from shadownb.engine.home import subfolder
from shadownb.engine.inference.draws import RULE
from shadownb.engine.inference.types import Sampling
from shadownb.errors import DataError, DiskFullError, EndpointError, ModelError

_HOPELESS = 8  # rows without an answer, of an endpoint that has given none
_MOST_FILES = 4000  # of 32 answers each; a hundred comparisons of a thousand rows


class Asker:
    """Asks one side.

    Parameters
    ----------
    arrived
        Called with each answer of an endpoint as soon as it is there, from another thread: it was paid for, and a kill before the
        last of its batch must not lose it.

    Attributes
    ----------
    reused
        How many answers came from the disk.
    """

    def __init__(
        self,
        side: Side,
        sampling: Sampling,
        options: dict[str, Any],
        *,
        reuse: bool,
        should_stop: Callable[[], bool] | None = None,
        arrived: Callable[[Case, Turn], None] | None = None,
    ) -> None:
        self._side = side
        self._arrived = arrived if isinstance(side.model, Endpoint) else None
        self._stop = {"should_stop": should_stop} if should_stop is not None else {}
        self._before = side.totals
        self._model = side.model
        self._use = {"use": side.use} if side.use is not None else {}
        self._sampling = sampling
        self._options = options
        self._weights = weights_of(side.model, side.use) if reuse else None
        self._answered = 0
        self._failed: list[EndpointError] = []
        self.reused = 0

    @property
    def asked_again(self) -> int:
        """How many requests an endpoint was sent again; 0 of a loaded model."""
        return int(self._side.totals.since(self._before).retries.total()) if self._before is not None else 0

    def ask(self, batch: Sequence[Case]) -> Iterator[tuple[Case, Turn | Exception]]:
        """Yield each case with its answer, or with the error where this one row cannot be asked.

        Raises
        ------
        EndpointError
            So many rows got no answer, and none did: an option, the model's name.
        """
        if not batch:
            return
        if self._failed and self._failed[-1].for_all:
            yield from ((case, self._failed[-1]) for case in batch)
            return
        try:
            turns = self._known_or_asked(batch)
        except EndpointError as error:
            yield from zip(batch, self._sorted_out(error, batch), strict=True)
            return
        except (DataError, ModelError) as error:
            if len(batch) == 1:
                yield batch[0], error
                return
            middle = len(batch) // 2  # prompts are checked before any is answered, so this costs little
            yield from self.ask(batch[:middle])
            yield from self.ask(batch[middle:])
            return
        yield from zip(batch, turns, strict=True)

    def kept(self, batch: Sequence[Case]) -> list[Turn] | None:
        """Return the answers that were kept of this very batch; None where there are none."""
        return self._kept_at(self._path(batch), len(batch))

    def _kept_at(self, path: Path | None, count: int) -> list[Turn] | None:
        known = _read(path, count) if path is not None else None
        self.reused += len(known or ())
        return known

    def _sorted_out(self, error: EndpointError, batch: Sequence[Case]) -> list[Turn | Exception]:
        """Return answer or error of each row of a batch in which some got none; what was answered was paid for."""
        replies = error.replies or [error] * len(batch)
        answers: list[Turn | Exception] = []
        for reply in replies:
            if isinstance(reply, EndpointError):
                self._failed.append(reply)
                answers.append(reply)
            else:
                self._answered += 1
                answers.append(Turn.of_reply(reply))
        if error.for_all:
            self._failed.append(error)
        if not self._answered and len(self._failed) >= _HOPELESS:
            raise error
        return answers

    def _known_or_asked(self, batch: Sequence[Case]) -> list[Turn]:
        path = self._path(batch)
        if (known := self._kept_at(path, len(batch))) is not None:
            return known
        as_they_are: dict[str, Any] = {"tools": batch[0].tools} if batch[0].tools else {}
        if hasattr(self._model, "trained_on"):  # it would start by itself from what its rows share
            as_they_are = {"tools": batch[0].tools, "system": None}
        replies = self._model.chat(
            [case.messages for case in batch],
            **self._use,
            **_given(self._sampling),
            **self._options,
            **as_they_are,
            **self._stop,
            **self._as_they_come(batch),
        )
        assert len(replies) == len(batch), "model.chat answers every conversation"
        turns = [Turn.of_reply(reply) for reply in replies]
        self._answered += len(turns)
        # While a thread trains these weights they change from one batch to the next.
        if path is not None and not any(turn.finish == "cancelled" for turn in turns) and not _is_live(self._model):
            _keep(path, turns)
        return turns

    def _as_they_come(self, batch: Sequence[Case]) -> dict[str, Any]:
        """Return the option by which an endpoint tells of each answer before it has all."""
        arrived = self._arrived
        if arrived is None:
            return {}
        return {"on_reply": lambda at, reply: arrived(batch[at], Turn.of_reply(reply))}

    def _path(self, batch: Sequence[Case]) -> Path | None:
        if self._weights is None:
            return None
        if not hasattr(self._model, "renderer"):
            return _file_of(
                [self._weights, _deciding(self._sampling), [case.messages for case in batch], batch[0].tools]
            )
        renderer = self._model.renderer
        told = renderer.told(**self._options)
        prompts = [renderer.render_prompt(case.messages, case.tools, variables=told) for case in batch]
        asked = [
            self._weights,
            _deciding(self._sampling),
            prompts,
            batch[0].tools,  # they decide how the text is read
            list(renderer.stop_token_ids),
            renderer.chat_template,
        ]
        return _file_of(asked)


def _file_of(asked: list[Any]) -> Path:
    key = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()
    return subfolder("answers") / f"{key}.json"


def weights_of(model: Any, use: Any) -> list[Any] | None:
    """Return what tells the weights of one side from all others, or None where that is not known.

    Of a run, a checkpoint or a folder it is the content of the adapter's files.
    """
    if (known := getattr(model, "kept_under", None)) is not None:
        return [known, __version__]
    if getattr(model, "base_hash", None) is None or not hasattr(model, "renderer") or _is_live(model):
        return None
    facts = [model.base_hash, model.quantization, model.dtype_name, str(model.device), model.accelerator]
    versions = [*(metadata.version(name) for name in model.backend.packages), __version__]
    if use not in ("base", "tuned", None):
        from shadownb.engine.models.adapters import weights_asked

        asked = weights_asked(use, model)
        return [facts, versions, asked if isinstance(asked, str) else ["beside", asked.id.revision]]
    if use == "base" or model.weights.kind is None:
        return [facts, versions, None]
    with model.gate.inference():
        return [facts, versions, model.weights.identity()]


def _is_live(model: Any) -> bool:
    run = getattr(model, "active_run", None)
    return run is not None and run.shares_memory


def _deciding(sampling: Sampling) -> dict[str, Any]:
    """Return what decides an answer; whether its log-probabilities are told does not."""
    rule = {} if sampling.greedy else {"draws": RULE}
    told = ("logprobs", "top_logprobs")
    return {name: value for name, value in sampling.as_dict().items() if name not in told} | rule


def _given(sampling: Sampling) -> dict[str, Any]:
    # Where the likeliest token is taken top_p changes nothing, and some servers refuse it beside a temperature.
    names = ["max_new_tokens", "temperature", *([] if sampling.greedy else ["top_p"])]
    options: dict[str, Any] = {name: getattr(sampling, name) for name in names}
    defaults = Sampling()
    for name in ("top_k", "repetition_penalty", "stop", "seed"):
        if getattr(sampling, name) != getattr(defaults, name):
            options[name] = getattr(sampling, name)
    if sampling.constraint is not None:
        options[sampling.constraint.kind] = sampling.constraint.text
    return options


def _read(path: Path, count: int) -> list[Turn] | None:
    """Return kept answers; None where there are none, or the file is damaged."""
    try:
        turns = [Turn(**each) for each in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return None
    return turns if len(turns) == count else None


def _keep(path: Path, turns: list[Turn]) -> None:
    from shadownb.engine.disk import write_atomically

    with contextlib.suppress(OSError, DiskFullError, ValueError):  # only a convenience
        write_atomically(path, json.dumps([turn.to_dict() for turn in turns], default=str))
        kept = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for old in kept[:-_MOST_FILES]:
            old.unlink(missing_ok=True)
