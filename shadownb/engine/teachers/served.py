"""A model behind a server as a teacher: it answers by chat completions, and tells log-probabilities where the server does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from shadownb.engine.endpoint import Endpoint
from shadownb.engine.endpoint.prompt_logprobs import Place, prompt_logprobs
from shadownb.engine.objectives.teaching.teacher import Likely, Taught
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.errors import ConfigError, EndpointError

if TYPE_CHECKING:
    from shadownb.engine.objectives.sources import SourceRun

_MOST = 20  # likeliest tokens: what vLLM tells unless it is started with --max-logprobs
_HAS_NOT = (200, 400, 404, 405, 422, 501)  # what a server answers that is there and does not have this
_PROBE = "Café déjà vu, 123 tokens"


class ServedTeacher:
    """A model behind a server of OpenAI's API.

    Parameters
    ----------
    given
        An endpoint, or the address of a server.
    model
        What the server calls it, where an address is given.

    Raises
    ------
    ConfigError
        An address is given without a model; or the server's tokens are not the student's.
    """

    answers = True

    def __init__(self, given: Any, run: SourceRun, *, model: str = "") -> None:
        if isinstance(given, str) and not model:
            raise ConfigError(
                f"teacher={given!r} is the address of a server, and teacher_model= does not say which model there.",
                fix="Give teacher_model= as the server calls it.",
            )
        self.endpoint = Endpoint(given, model) if isinstance(given, str) else given
        self._run = run
        self._told = False
        self.name = f"teacher {self.endpoint.name!r}"
        self.why = ""
        self.tells = self._tells()

    @property
    def identity(self) -> str:
        """The server's name for it: what else it is nobody here can know."""
        return f"{self.endpoint.model} behind a server"

    def _tells(self) -> bool:
        """Return whether the server tells log-probabilities of this student's tokens, seen on a short text."""
        ids = list(self._run.renderer.tokenizer(_PROBE, add_special_tokens=False)["input_ids"])
        try:
            places = prompt_logprobs(self.endpoint, [ids], 2, should_stop=self._run.stopped)
        except EndpointError as error:
            if error.status not in _HAS_NOT:
                raise
            self.why = f"{error.what} {error.why}".strip()
            return False
        self._run.check()
        vocabulary = len(self._run.renderer.tokenizer.get_vocab())
        beyond = [token for _, top in places[0] for token, _ in top if token >= vocabulary]
        if beyond:
            raise ConfigError(
                f"The {self.name} has another tokenizer than the student: it names the token {beyond[0]}, and the student has "
                f"{vocabulary:,}.",
                fix="Give a teacher of the same family, or train method='lora' on its answers, which are texts.",
            )
        return True

    def say(
        self, asked: Sequence[Example], *, most: int, temperature: float, seed: int, stopped: Callable[[], bool]
    ) -> list[dict[str, Any]]:
        """Return its answer to each question; calls of tools are calls."""
        found: list[Any] = []
        for tools, group in groupby(asked, key=lambda example: [dict(tool) for tool in example.tools]):
            questions = [[dict(turn) for turn in example.said] for example in group]
            found += self.endpoint.chat(
                questions, tools=tools or None, max_new_tokens=most, temperature=temperature, seed=seed % 2**31,
                should_stop=stopped,
            )  # fmt: skip
        messages = []
        for reply in found:
            if reply.finish_reason == "cancelled":
                break
            messages.append(reply.to_message())
        return messages

    def likely(self, rows: Sequence[Taught], k: int, temperature: float) -> list[Likely]:
        """Return what it says of each row's trained tokens."""
        if temperature != 1.0:
            raise ConfigError(
                f"temperature={temperature:g}: a served teacher tells its likeliest tokens at temperature 1 alone.",
                why="Those of another temperature follow from the whole distribution, which no server sends.",
                fix="Leave temperature at 1, or load the teacher here.",
            )
        asked = min(k, _MOST) or _MOST
        if asked != k and not self._told:
            self._told = True
            self._run.warn(
                f"The {self.name} tells its {asked} likeliest tokens, so loss_top_k={k} is {asked}.",
                why="All others count as one more token.",
                code="fewer-likeliest",
            )
        prompts = [each.row.input_ids for each in rows]
        places = prompt_logprobs(self.endpoint, prompts, asked, should_stop=self._run.stopped)
        self._run.check()
        return [_likely(each, told, asked) for each, told in zip(rows, places, strict=True)]

    def close(self) -> None:
        """Do nothing: an endpoint holds no connection between calls."""


def _likely(taught: Taught, places: Sequence[Place], k: int) -> Likely:
    at = [n for n, label in enumerate(taught.row.labels[1:]) if label != NOT_TRAINED]
    tops = [places[n][1][:k] for n in at]
    width = min((len(top) for top in tops), default=0)
    return Likely(
        np.array([[token for token, _ in top[:width]] for top in tops], np.int64),
        np.array([[value for _, value in top[:width]] for top in tops], np.float32),
        np.array([places[n][0] for n in at]),
    )
