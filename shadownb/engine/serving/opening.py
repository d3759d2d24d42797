"""From what a user names to engines: which one is chosen, why, and what it takes to end it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.answering.local import LocalModel
from shadownb.engine.answering.speakers import speaker_for
from shadownb.engine.loaded.model import LoadedModel
from shadownb.engine.methods.computed_by import trains
from shadownb.engine.models.adapters import weights_asked
from shadownb.engine.models.loading import load
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.runs.handle import Run
from shadownb.engine.serving.managed import COMMANDS, ManagedServer
from shadownb.engine.serving.remote import SPEECHES, RemoteModel
from shadownb.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.serving.engine import Engine

# By our names: which backend computes.
BACKENDS = {"transformers": "torch", "llama.cpp": "llamacpp", "mlx": "mlx"}
_SAME = {
    "hf": "transformers",
    "torch": "transformers",
    "llamacpp": "llama.cpp",
    "llama-cpp": "llama.cpp",
    "llama_cpp": "llama.cpp",
}
ENGINES = ("auto", *BACKENDS, *COMMANDS, "openai")


@dataclass(frozen=True)
class Opened:
    """Engines that are ready to be started in the server's loop.

    Attributes
    ----------
    engines
        Makes them, there.
    decisions
        What was chosen, each as (value, reason).
    broken
        Returns why they cannot be asked now.
    close
        Ends what was started for them.
    """

    engines: Callable[[], Sequence[Engine]]
    decisions: dict[str, Decision]
    broken: Callable[[], str] = lambda: ""
    close: Callable[[], None] = lambda: None


def engine_named(engine: str) -> str:
    """Return an engine's name as we have it. Raises :class:`ConfigError` for one that there is not."""
    known = _SAME.get(engine, engine)
    if known not in ENGINES:
        raise ConfigError(
            f"engine={engine!r} is not known.{did_you_mean(engine, [*ENGINES, *_SAME])}",
            fix=f"Use one of {', '.join(ENGINES)}.",
        )
    return known


def opened(
    model: Any,
    engine: str,
    *,
    name: str | None,
    adapters: dict[str, Any],
    folder: Path,
    api_key_env: str | None,
    engine_options: list[str],
) -> Opened:
    """Open what a user names."""
    engine = engine_named(engine)
    if name is not None and (not isinstance(name, str) or not name or not name.isprintable()):
        raise ConfigError(f"name={name!r} is no name.", fix="Give a short text.")
    if engine_options and engine not in COMMANDS:
        raise ConfigError(f"engine_options are for {' and '.join(COMMANDS)} alone.", fix="Leave them out.")
    if isinstance(model, str) and model.startswith(("http://", "https://")):
        return _of_address(model, engine, name, adapters, api_key_env)
    if api_key_env is not None:
        raise ConfigError("api_key_env= is for the address of another server.", fix="Leave it out.")
    if engine == "openai":
        raise ConfigError("engine='openai' is for the address of a server.", fix="Give http://... instead of a model.")
    if engine in COMMANDS:
        return _by_command(model, engine, name, adapters, folder, engine_options)
    if isinstance(model, LoadedModel):
        return _in_process(model, engine, name, adapters, ours=False)
    source = model.id if isinstance(model, Run) else str(model)
    backend = BACKENDS.get(engine, "auto")
    if engine == "auto" and source.endswith(".gguf") and _has_llamacpp():
        backend = "llamacpp"
    return _in_process(load(source, backend=backend), engine, name, adapters, ours=True)


def _has_llamacpp() -> bool:
    from importlib import util

    from shadownb.engine import registry

    return registry.has("backend", "llamacpp") and util.find_spec("xllamacpp") is not None


def _in_process(model: LoadedModel, engine: str, name: str | None, adapters: dict[str, Any], *, ours: bool) -> Opened:
    """Serve a model that is loaded here: as it is, its base, and adapters beside it, of one speaker."""
    model.require_loaded()
    computes = next((each for each, backend in BACKENDS.items() if backend == model.backend_name), model.backend_name)
    if engine not in ("auto", computes):
        raise ConfigError(
            f"engine={engine!r}: this model is loaded by {computes}.",
            fix=f"Give its folder, name or run instead, or load(..., backend={BACKENDS.get(engine)!r}).",
        )
    name = name or model.name
    uses: dict[str, Any] = {name: "tuned"}
    if model.weights.kind is not None or (not ours and trains(model.backend_name)):
        uses[f"{name}-base"] = "base"  # else the same weights would answer under two names
    for each, asked in adapters.items():
        if each in uses:
            raise ConfigError(f"adapters= has the name {each!r}, which the model itself has.", fix="Give another name.")
        uses[each] = weights_asked(asked, model)
    why = "the model is loaded in this process" if not ours else _why_loaded(computes, engine)
    speaker = speaker_for(model)

    def engines() -> list[Engine]:
        return [LocalModel(model, use=use, name=each, speaker=speaker, engine=computes) for each, use in uses.items()]

    def close() -> None:
        speaker.close()
        if ours:
            getattr(model, "unload", lambda: None)()

    return Opened(engines, {"engine": (computes, why)}, close=close)


def _why_loaded(computes: str, asked: str) -> str:
    if asked != "auto":
        return "asked for"
    if computes == "llama.cpp":
        return "a GGUF file, which llama.cpp reads as it is"
    return (
        "exact weights, any adapter, many callers at once; engine='llama.cpp' is faster for one caller, of a GGUF file"
    )


def _of_address(
    address: str, engine: str, name: str | None, adapters: dict[str, Any], api_key_env: str | None
) -> Opened:
    if engine not in ("auto", *SPEECHES):
        raise ConfigError(f"engine={engine!r} is none of a running server.", fix=f"Use one of {', '.join(SPEECHES)}.")
    if adapters:
        raise ConfigError("adapters= needs weights that are loaded here.", fix="Leave it out for another server.")
    key = None
    if api_key_env is not None:
        key = os.environ.get(api_key_env)
        if not key:
            raise ConfigError(f"The environment variable {api_key_env} is not set.", fix="Set it to the server's key.")
    kind = "openai" if engine == "auto" else engine
    base = address.rstrip("/")
    base = base if base.endswith("/v1") else f"{base}/v1"
    theirs = _models_of(base, key)
    if name is not None and len(theirs) > 1 and name not in theirs:
        raise ConfigError(
            f"name={name!r}: that server has {len(theirs)} models.", fix="Leave name out, or name one of them."
        )
    names = {name: theirs[0]} if name is not None and len(theirs) == 1 else {each: each for each in theirs}
    if name in theirs:
        names = {name: name}

    def engines() -> list[Engine]:
        return [RemoteModel(ours, base, each, SPEECHES[kind], api_key=key) for ours, each in names.items()]

    return Opened(engines, {"engine": (kind, f"a server that runs at {base}")})


def _models_of(base: str, key: str | None) -> list[str]:
    import httpx

    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(timeout=15.0, headers=headers) as web:
            found = web.get(f"{base}/models").raise_for_status().json()["data"]
            return [str(each["id"]) for each in found] or ["default"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{base} does not list its models: {type(error).__name__}.",
            fix="Check the address, and give api_key_env= where it needs a key.",
        ) from None


def _by_command(
    model: Any, engine: str, name: str | None, adapters: dict[str, Any], folder: Path, options: list[str]
) -> Opened:
    """Start another program's server on the model's files: the base, and what was trained beside it by name."""
    from shadownb.engine.serving.files import files_of

    files = files_of(model, name, adapters, folder)
    command = COMMANDS[engine](files.base, files.base_name, files.adapters, "auto", options)
    server = ManagedServer(engine, command, folder / "engine.log")
    server.start()

    def engines() -> list[Engine]:
        return [
            RemoteModel(each, f"{server.url}/v1", each, SPEECHES[engine], broken=server.broken)
            for each in (*files.adapters, files.base_name)
        ]

    return Opened(engines, {"engine": (engine, "asked for")}, broken=server.broken, close=server.stop)
