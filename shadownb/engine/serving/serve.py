"""``serve()``: from a model, a path, a run or an address to a running front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.engine.serving.embedding import SentenceEmbedder
from shadownb.engine.serving.opening import opened
from shadownb.engine.serving.server import Server, new_folder

if TYPE_CHECKING:
    from shadownb.engine.models.adapters import Asked
    from shadownb.engine.models.model import Model
    from shadownb.engine.runs.handle import Run


def serve(
    model: Model | Run | str | Path,
    engine: str = "auto",
    *,
    name: str | None = None,
    adapters: Mapping[str, Asked] | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    allow_hosts: str | Sequence[str] = (),
    at_once: int = 64,
    waiting: int = 256,
    max_body: int = 64 * 2**20,
    embeddings: bool = True,
    api_key_env: str | None = None,
    engine_options: Sequence[str] = (),
) -> Server:
    """Serve a model by OpenAI's and Anthropic's API, and return the running server.

    ``/v1/chat/completions``, ``/v1/completions``, ``/v1/responses``, ``/v1/messages``, ``/v1/embeddings`` and ``/v1/models``,
    whole and streamed, with tools, JSON schemas and log-probabilities. What an engine cannot do is refused by the name of
    the field, never ignored.

    Parameters
    ----------
    model
        A loaded model, which answers with its weights as they are, also while it trains; a run or its id; a folder, a short name
        or a GGUF file; or the address of another server of OpenAI's API (``http://...``).
    engine
        ``auto``; ``transformers`` in this process, for several callers at once; ``llama.cpp`` for GGUF files; ``mlx``; ``vllm``
        or ``sglang``, whose own server is started, watched and ended; of an address what it is: ``openai`` (whatever
        it is), ``vllm`` or ``sglang``. What was chosen, and why, is in ``server.decisions``.
    name
        What requests call the model. The base answers beside it as ``NAME-base``, except where it cannot differ: of a folder or
        a GGUF file without an adapter that only this server holds.
    adapters
        Further names, each with what ``use=`` of :meth:`shadownb.Model.generate` takes: a run, a checkpoint, a folder. They share
        the base's weights.
    host, port, token, allow_hosts, max_body
        As for :func:`shadownb.capture`.
    at_once, waiting
        How many requests are answered together, and how many more may wait; others are told to come again (429).
    embeddings
        Whether ``/v1/embeddings`` is there, by the sentence encoder all-MiniLM-L6-v2.
    api_key_env
        Environment variable with the key of another server.
    engine_options
        Further arguments for the command of ``vllm`` or ``sglang``.

    Raises
    ------
    ConfigError
        An option is wrong, or the engine does not suit the model.
    MissingDependencyError
        The engine's package is not installed.
    BusyError
        The port is in use.
    RunError
        The engine's server did not start; the message has the end of its log.

    Examples
    --------
    >>> server = snb.serve(model)
    >>> from openai import OpenAI
    >>> client = OpenAI(base_url=server.url, api_key=server.token)
    >>> asked = [{"role": "user", "content": "I paid twice."}]
    >>> client.chat.completions.create(model="tiny", messages=asked, temperature=0).choices[0].message.content
    'billing'
    >>> server.decisions["engine"]
    ('transformers', 'the model is loaded in this process')
    >>> server.stop()
    """
    hosts = (allow_hosts,) if isinstance(allow_hosts, str) else tuple(allow_hosts)
    folder = new_folder()
    found = opened(
        model, engine, name=name, adapters=dict(adapters or {}), folder=folder, api_key_env=api_key_env,
        engine_options=list(engine_options),
    )  # fmt: skip
    try:
        server = Server(
            found.engines,
            [SentenceEmbedder()] if embeddings else [],
            decisions=found.decisions,
            host=host,
            port=port,
            token=token,
            allow_hosts=hosts,
            at_once=at_once,
            waiting=waiting,
            max_body=max_body,
            broken=found.broken,
            closing=found.close,
            folder=folder,
        )
        return server.start()
    except BaseException:
        found.close()
        raise
