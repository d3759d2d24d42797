"""What the Serve panel shows: running servers, what can be served, clients, answers of the playground."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from shadownb.errors import ConfigError, EndpointError, ShadowError

from ._stores import as_choices, loaded_models

ENGINES = ("auto", "transformers", "llama.cpp", "mlx", "vllm", "sglang", "openai")
TOKEN = "{token}"
"""Where a client's code holds the token; the page fills it in, so that no trait ever does."""


def choices(namespace: Mapping[str, Any], given: Any) -> list[dict[str, str]]:
    """Return the loaded models that can be served, by their variables."""
    return as_choices(loaded_models(namespace, given))


def running(identifier: str) -> Any:
    """Return a server of this kernel. Raises :class:`ConfigError` where it does not run."""
    from shadownb.engine.serving.server import running_here

    if identifier not in running_here:
        raise ConfigError(f"The server {identifier!r} does not run in this kernel.", fix="Start one.")
    return running_here[identifier]


def shown() -> list[dict[str, Any]]:
    """Return the servers of this kernel as the page shows them, the newest first."""
    from shadownb.engine.serving import snippets
    from shadownb.engine.serving.server import running_here

    found = []
    for server in reversed(list(running_here.values())):
        engine, reason = server.decisions["engine"]
        address = server.address
        model = next(iter(server.models), "MODEL")
        found.append(
            {
                "id": server.id,
                "url": server.url,
                "engine": engine,
                "reason": reason,
                "models": server.models,
                "health": server.health,
                "stats": server.stats(),
                "proxied": address.proxied or "",
                "advice": address.advice,
                "clients": [
                    {"id": each, "code": snippets.snippet(each, server.root_url, TOKEN, model)}
                    for each in snippets.CLIENTS
                ],
            }
        )
    return found


def played(server: Any, model: str, question: str, most: int) -> dict[str, Any]:
    """Ask one model of a server, as any client does; what fails is the answer's own."""
    from shadownb.engine.endpoint import Endpoint

    began = time.perf_counter()
    told: dict[str, Any] = {"server": server.id, "model": model, "engine": server.engine, "text": "", "error": ""}
    try:
        client = Endpoint(server.url, model, api_key=server.token)
        reply = client.chat([{"role": "user", "content": question}], max_new_tokens=most)
        told |= {"text": reply.content, "tokens": reply.usage.get("completion_tokens")}
    except (EndpointError, ShadowError) as error:
        told["error"] = error.what
    return {**told, "seconds": time.perf_counter() - began}


def code(source: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return what does the same in a cell, as a magic and in a shell."""
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    flags = "".join(f" --{key} {value}" for key, value in options.items())
    name = source.strip("'\"")
    found = {
        "python": f"import shadownb as snb\n\nserver = snb.serve({source}{given})\nprint(server.url, server.token)"
    }
    if "." in source and name == source:  # what a Studio holds is no variable
        return found
    return {**found, "magic": f"%shadow serve {name}{flags}", "shell": f"shadownb serve {name}{flags}"}


def snapshot(servers: list[dict[str, Any]]) -> str:
    """Return the servers as plain text, without addresses."""
    if not servers:
        return "ShadowNB serve: no server runs."
    lines = [f"  {each['id']}: {', '.join(each['models'])} by {each['engine']}" for each in servers]
    return "\n".join([f"ShadowNB serve: {len(servers)} running.", *lines])
