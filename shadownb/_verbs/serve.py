"""The verbs ``serve`` and ``batch``: a model by OpenAI's and Anthropic's API, and a file of requests answered."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.listing import Listing
from shadownb._verbs.options import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from shadownb.engine.serving import Server
    from shadownb.engine.serving.known import Known

_ACTIONS = ("list", "stop")
_WAIT_SECONDS = 0.5


@verb("serve")
@click.argument("target", metavar="[MODEL|list|stop]", required=False, shell_complete=completion.complete_model)
@click.argument("server", metavar="[SERVER]", required=False)
@click.option("--model", "model", shell_complete=completion.complete_model, help="The model, said by a flag.")
@click.option(
    "--engine", "--backbone", "engine", default="auto",
    help="auto, transformers (hf), llama.cpp (llamacpp), mlx, vllm, sglang; for an address openai, vllm or sglang.",
)  # fmt: skip
@click.option("--name", "name", help="What requests call the model.")
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="NAME=RUN",
    help="Another name, with a run, checkpoint or folder; repeatable.",
)
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", type=Value("int"), help="Port to listen on (default: a free one).")
@click.option("--allow-host", "allow_hosts", multiple=True, metavar="NAME", help="Host name that may ask; repeatable.")
@click.option("--token-env", metavar="VARIABLE", help="Environment variable with the token that clients give.")
@click.option("--api-key-env", metavar="VARIABLE", help="Environment variable with the key of another server.")
@click.option("--at-once", type=Value("int"), help="Requests that are answered together (default: 64).")
@click.option("--waiting", type=Value("int"), help="Requests that may wait; others get 429 (default: 256).")
@click.option(
    "--engine-option", "engine_options", multiple=True, help="Argument for vLLM's or SGLang's command; repeatable."
)
def serve(front_end: FrontEnd, target: str | None, server: str | None, model: str | None, **options: Any) -> Any:
    """Serve a model by OpenAI's and Anthropic's API.

    PROG serve smollm2-135m --port 8000 gives an address and a token. PROG serve list shows the servers, PROG serve stop ends one.
    """
    if target in _ACTIONS:
        return _list() if target == "list" else _stop(front_end, server)
    if server is not None or (target is not None and model is not None):
        front_end.refuse("give one model")
    name = target or model
    if name is None:
        front_end.refuse("name a model: shadownb serve smollm2-135m")
    from shadownb.engine import serving

    given = {key: value for key, value in options.items() if value not in (None, ())}
    given["adapters"] = dict(_pair(front_end, each) for each in given.pop("adapters", ()))
    if (variable := given.pop("token_env", None)) is not None:
        given["token"] = os.environ.get(variable) or front_end.refuse(f"--token-env {variable}: it is not set")
    is_address = name.startswith(("http://", "https://"))
    running = serving.serve(name if is_address else front_end.unloaded(name), **given)
    return running if front_end.notebook else _hold(front_end, running)


@verb("batch")
@click.argument(
    "requests",
    metavar="IN.jsonl",
    type=click.Path(exists=True, dir_okay=False),
    shell_complete=completion.complete_file,
)
@click.argument("answers", metavar="OUT.jsonl", type=click.Path(dir_okay=False))
@click.option(
    "--model", "model", required=True, shell_complete=completion.complete_model, help="Who answers, as serve takes it."
)
@click.option("--engine", "--backbone", "engine", default="auto", help="As for serve.")
@click.option("--at-once", type=Value("int"), help="Requests that are answered together (default: 32).")
def batch(front_end: FrontEnd, requests: str, answers: str, model: str, engine: str, at_once: int | None) -> Any:
    """Answer a file of requests in the shape of OpenAI's batches; the same call again goes on where the last one ended."""
    from shadownb.engine import serving

    name = model if model.startswith(("http://", "https://")) else front_end.unloaded(model)
    given = {} if at_once is None else {"at_once": at_once}
    return serving.batch(requests, answers, name, engine=engine, **given)


def _pair(front_end: FrontEnd, text: str) -> tuple[str, Any]:
    name, equals, source = text.partition("=")
    if not equals or not name or not source:
        front_end.refuse(f"--adapter {text}: give NAME=RUN")
    return name, front_end.unloaded(source)


def _hold(front_end: FrontEnd, server: Server) -> None:
    """Serve until a signal."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    engine, reason = server.decisions["engine"]
    front_end.note(f"Serving {', '.join(server.models)} by {engine} ({reason}) at {server.url}. Ctrl-C ends it.")
    front_end.note(server.snippet("env").rstrip())
    try:
        while not ended.wait(_WAIT_SECONDS):
            pass
    finally:
        server.stop()
    front_end.note("Stopped.")


def _list() -> Listing[Known]:
    from shadownb.engine.serving.known import known

    columns: dict[str, Callable[[Known], Any]] = {
        "server": lambda each: each.id,
        "address": lambda each: each.url,
        "engine": lambda each: each.engine,
        "models": lambda each: ", ".join(each.models),
        "process": lambda each: each.mark["pid"],
    }
    return Listing(known(), columns, empty="No server runs; serve MODEL starts one.")


def _stop(front_end: FrontEnd, identifier: str | None) -> Any:
    from shadownb.engine.serving.known import known

    found = [each for each in known() if identifier in (None, each.id)]
    if len(found) != 1:
        names = ", ".join(each.id for each in known()) or "none"
        front_end.refuse(f"name the server to stop; running: {names}")
    return found[0].stop()
