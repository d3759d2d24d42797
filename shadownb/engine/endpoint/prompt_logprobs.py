"""How likely a served model finds given tokens: text completions that repeat their prompt, with its log-probabilities.

``echo`` with ``logprobs`` is an old way of OpenAI's, which vLLM has, too; that tokens come by their ids
(``return_tokens_as_token_ids``) is vLLM's alone, and ours. Without ids nobody could say which token a text stands for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import httpx

from shadownb.engine.endpoint.background import Background
from shadownb.engine.endpoint.connection import Connection
from shadownb.engine.jsontext import dumps
from shadownb.errors import EndpointError

if TYPE_CHECKING:
    from shadownb.engine.endpoint.endpoint import Endpoint

Place = tuple[float, list[tuple[int, float]]]
_ID = "token_id:"


def prompt_logprobs(
    endpoint: Endpoint, prompts: Sequence[Sequence[int]], top: int, *, should_stop: Callable[[], bool] | None = None
) -> list[list[Place]]:
    """Return of each prompt, at each token but the first, its log-probability and the likeliest tokens' as (id, log-probability).

    Raises
    ------
    EndpointError
        A prompt got no answer, or the server does not tell this.
    """
    results: list[list[Place] | EndpointError | None] = [None] * len(prompts)
    settings = endpoint._settings()

    async def work() -> None:
        places = asyncio.Semaphore(settings.concurrency)
        async with Connection(settings) as connection:

            async def one(at: int) -> None:
                async with places:
                    try:
                        results[at] = await _of_one(endpoint, connection, list(prompts[at]), top)
                    except EndpointError as error:
                        results[at] = error

            async with asyncio.TaskGroup() as group:
                for at in range(len(prompts)):
                    group.create_task(one(at))

    Background(work).wait(should_stop)
    if failed := next((found for found in results if isinstance(found, EndpointError)), None):
        raise failed
    return [found for found in results if isinstance(found, list)]


async def _of_one(endpoint: Endpoint, connection: Connection, ids: list[int], top: int) -> list[Place]:
    body = {
        "model": endpoint.model, "prompt": ids, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": top,
        "return_tokens_as_token_ids": True,
    }  # fmt: skip

    async def attempt() -> httpx.Response:
        return await connection.post("/completions", dumps(body).encode())

    return _read(await connection.until_answered(attempt), ids, endpoint)


def _read(response: httpx.Response, ids: list[int], endpoint: Endpoint) -> list[Place]:
    try:
        told = json.loads(response.content)["choices"][0]["logprobs"]
        tokens, logs, tops = told["tokens"], told["token_logprobs"], told["top_logprobs"]
        said = [_id(token) for token in tokens[: len(ids)]]
        found = [
            (float(log), sorted(((_id(t), float(value)) for t, value in at.items()), key=lambda pair: -pair[1]))
            for log, at in zip(logs[1 : len(ids)], tops[1 : len(ids)], strict=True)
        ]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        said, found = [], []
    if said != ids or len(found) != len(ids) - 1:
        error = EndpointError(
            f"{endpoint.name} at {endpoint.base_url} tells no log-probabilities of given tokens.",
            why="Its text completions do not answer echo with logprobs and return_tokens_as_token_ids as vLLM's do.",
            fix="Serve the model with vLLM or snb.serve(), or load it here.",
        )
        error.status = response.status_code
        raise error
    return found


def _id(token: Any) -> int:
    name, number = str(token)[: len(_ID)], str(token)[len(_ID) :]
    if name != _ID:
        raise ValueError(token)
    return int(number)
