"""Verbs about models and data: load, inspect, models, methods, chat, generate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.listing import Listing
from shadownb._verbs.options import (
    DATA_OPTIONS,
    MODEL_OPTIONS,
    SAMPLING_OPTIONS,
    THINKING_OPTIONS,
    Choice,
    Value,
    data_options,
    given,
    model_options,
    reading_of,
    sampling_options,
    thinking_options,
)
from shadownb._verbs.words import model_and_data
from shadownb.engine import capabilities
from shadownb.engine.config import TrainConfig

model_argument = click.argument(
    "name",
    metavar="MODEL",
    shell_complete=completion.complete_model,
    help="Variable, alias, hub id, folder, GGUF file or run id.",
)


@verb("load")
@model_argument
@model_options
@click.option(
    "--max-length",
    type=Value("int"),
    help="Longest row the model is used with (default: 2048 tokens, or the positions of a model with fewer).",
)
@thinking_options
def load(front_end: FrontEnd, name: str, **_: Any) -> Any:
    """Load a model.

    Example: model = PROG load smollm2-135m
    """
    return front_end.model(name, **given([*MODEL_OPTIONS, "max_length", *THINKING_OPTIONS]))


@verb("inspect")
@click.argument(
    "words",
    metavar="[MODEL] DATA",
    nargs=-1,
    shell_complete=completion.complete_model_or_data,
    help="Variables or names; with one word it is the data: a variable, a shipped data set or a file.",
)
@click.option(
    "--model",
    "model_name",
    shell_complete=completion.complete_model,
    help="Whose tokens to show (default: smollm2-135m).",
)
@click.option("--row", type=Value("int"), default=0, help="Row to show, counted from 0.")
@click.option(
    "--method",
    shell_complete=completion.complete_method,
    help="Training method (default: what the row's shape suggests).",
)
@click.option(
    "--loss-on",
    type=Choice(["assistant", "last", "all"]),
    default="assistant",
    help="Tokens that are trained.",
)
@click.option("--max-length", type=Value("int"), help="Most tokens of a sequence (default: the model's).")
@data_options
def inspect(
    front_end: FrontEnd,
    words: tuple[str, ...],
    model_name: str | None,
    row: int,
    method: str | None,
    loss_on: Any,
    max_length: int | None,
    **_: Any,
) -> Any:
    """Show a row's tokens, and which are trained.

    Example: PROG inspect model rows --row 3
    """
    named: dict[str, Any] = {"model": model_name} if model_name else {}
    model_and_data(named, words, front_end, "inspect")
    name = named.get("dataset")
    if name is None:
        front_end.refuse(f"inspect needs data: {front_end.prog} inspect [MODEL] DATA")
    data = front_end.data(name, **reading_of(given(DATA_OPTIONS)))
    if not -len(data) <= row < len(data):
        front_end.refuse(f"--row {row} is not in {name}, which has {len(data)} rows (0 to {len(data) - 1})")
    TrainConfig(**given(["max_length"]))  # refuses what training would
    model = front_end.model(named.get("model") or front_end.default_model)
    return data.inspect(model, row=row, method=method, loss_on=loss_on, max_length=max_length)


@verb("certify")
@click.argument(
    "name",
    metavar="[MODEL]",
    required=False,
    shell_complete=completion.complete_model,
    help="Variable, alias, hub id, folder, GGUF file or run id; only its tokenizer is loaded.",
)
def certify(front_end: FrontEnd, name: str | None) -> Any:
    """Check what a model's chat template writes and trains.

    Example: PROG certify smollm2-135m
    """
    from shadownb.engine.models import certify as prove

    return prove(front_end.unloaded(name or front_end.default_model))


_ACTIONS = ("list", "fetch", "delete", "cached", "login", "logout")


@verb("models")
@click.argument("action", type=Choice(list(_ACTIONS)), required=False, default="list")
@click.argument(
    "name", metavar="[NAME]", required=False, shell_complete=completion.complete_model, help="Short name or hub id."
)
@click.option("--yes", is_flag=True, help="With delete: do not ask.")
def models(front_end: FrontEnd, action: str, name: str | None, yes: bool) -> Any:
    """List the models known by a short name; fetch one ahead, delete one from the disk, sign in to the hub.

    Example: PROG models fetch qwen3-0.6b
    """
    if action in ("fetch", "delete"):
        if name is None:
            front_end.refuse(f"{action} needs a model: {front_end.prog} models {action} NAME")
        return _fetch(name) if action == "fetch" else _delete(front_end, name, yes=yes)
    if name is not None:
        front_end.refuse(f"{action} takes no name")
    if action == "cached":
        return _cached()
    if action == "list":
        return _catalogue()
    return _login(front_end) if action == "login" else _logout(front_end)


def _fetch(name: str) -> Any:
    from shadownb.engine.models.ahead import fetch

    return fetch(name)


def _delete(front_end: FrontEnd, name: str, *, yes: bool) -> None:
    from shadownb.engine.doctor.storage import readable
    from shadownb.engine.models.catalog import find
    from shadownb.engine.models.shelf import cached_of, forget

    info = find(name)
    found = cached_of(info.hub_id if info is not None else name)
    question = f"Delete {found.hub_id} from the hub's cache, {readable(found.size)}?"
    if not yes and not front_end.confirm(question):
        raise click.Abort
    loaded = [value.source for value in front_end.variables.values() if getattr(value, "is_loaded", False) is True]
    front_end.note(f"Freed {readable(forget(found.hub_id, loaded))}.")


def _cached() -> Listing:
    from shadownb.engine.doctor.storage import readable
    from shadownb.engine.models.shelf import Cached, cached_models

    columns: dict[str, Callable[[Cached], Any]] = {
        "model": lambda each: each.hub_id,
        "size": lambda each: readable(each.size),
        "whole": lambda each: "yes" if each.whole else "a part: fetch goes on with it, delete frees it",
    }
    return Listing(cached_models(), columns, empty="The hub's cache holds no model.")


def _login(front_end: FrontEnd) -> None:
    from shadownb.engine.hub.account import sign_in

    # Asked for where nobody sees it, and it stands in no history: an argument would be in the notebook or the shell's.
    token = front_end.secret("Token of the hub (https://huggingface.co/settings/tokens): ")
    front_end.note(f"Signed in to the hub as {sign_in(token)}; the token lies in the hub client's own file.")


def _logout(front_end: FrontEnd) -> None:
    from shadownb.engine.hub.account import sign_out

    sign_out()
    front_end.note("Signed out; the token was deleted.")


def _catalogue() -> Listing:
    from shadownb.engine.models import catalog

    columns: dict[str, Callable[[Any], Any]] = {
        "model": lambda info: info.name,
        "parameters": lambda info: f"{info.parameters / 1e6:,.0f} M",
        "size": lambda info: f"{info.size_gb:.1f} GB",
        "licence": lambda info: info.licence,
        "context": lambda info: info.context or "",
        "here": lambda info: "yes" if info.cached else "to download",
        "note": lambda info: " ".join(
            [info.note, f"Not checked: {', '.join(info.unchecked)}." if info.unchecked else ""]
        ).strip(),
    }
    return Listing(catalog(), columns, empty="No models.")


@verb("methods")
@click.option(
    "--model",
    "model_name",
    shell_complete=completion.complete_model,
    help="Say which methods this model can be trained with.",
)
@click.option(
    "--data",
    "data_name",
    shell_complete=completion.complete_data,
    help="Say which methods this data fits.",
)
@click.option(
    "--trl",
    "of_trl",
    is_flag=True,
    help="List the trainers of the installed trl that can be used as methods, and what a resume means there.",
)
def methods(front_end: FrontEnd, model_name: str | None, data_name: str | None, of_trl: bool) -> Any:
    """List the training methods."""
    from shadownb.engine.methods import MethodSpec, available, backends

    def computed_by(spec: MethodSpec) -> str:
        told = backends(spec.name)
        have = [name for name, why in told.items() if why is None]
        return "; ".join([", ".join(have), *(f"not {name}: {why}" for name, why in told.items() if why is not None)])

    model = front_end.model(model_name) if model_name else None
    data_format = front_end.data(data_name).format if data_name else None
    if of_trl:
        return _guests(model, data_format)
    columns: dict[str, Callable[[MethodSpec], Any]] = {
        "method": lambda spec: spec.name,
        "title": lambda spec: spec.title,
        "group": lambda spec: spec.group,
        "data": lambda spec: spec.data_shape,
        "learning rate": lambda spec: f"{spec.default_learning_rate:g}",
        "what it does": lambda spec: spec.hint,
        "computed by": computed_by,
    }
    if model is not None or data_format is not None:
        columns["usable"] = lambda spec: capabilities.blocked(spec, model, data_format) or "yes"
    return Listing(available(), columns, empty="No methods.")


def _guests(model: Any, data_format: str | None) -> Listing:
    from shadownb.engine.methods import GuestMethod, get, guests

    def usable(method: GuestMethod) -> str:
        return method.unusable or capabilities.unfit(get(method.name), model, data_format) or "yes"

    columns: dict[str, Callable[[GuestMethod], Any]] = {
        "method": lambda method: method.name,
        "trainer": lambda method: method.title,
        "data": lambda method: method.data_shape,
        "usable": usable,
    }
    listed = guests()
    resumes = dict.fromkeys(capabilities.resume_means(get(one.name)) for one in listed if not one.unusable)
    return Listing(listed, columns, empty="No trainers.", note=" ".join(resumes))


# -- using a model ---------------------------------------------------------------------------------------------------


@verb("chat")
@click.argument(
    "name",
    metavar="[MODEL]",
    required=False,
    shell_complete=completion.complete_model,
    help="As for load; with a message a variable that holds an Endpoint, too.",
)
@click.argument(
    "words",
    metavar="[MESSAGE]",
    nargs=-1,
    help="What to say; without it the conversation is opened.",
)
@sampling_options
@model_options
def chat(front_end: FrontEnd, name: str | None, words: tuple[str, ...], **_: Any) -> Any:
    """Ask a model and watch it answer."""
    message = "\n".join(part for part in (" ".join(words), front_end.body or "") if part.strip()).strip()
    loading = given(MODEL_OPTIONS)
    sampling = given([*SAMPLING_OPTIONS, "use"])
    if not message:
        return front_end.converse(front_end.model(name, **loading) if name else None, sampling)
    return front_end.answer(
        front_end.chat_model(name or front_end.default_model, **loading),
        [{"role": "user", "content": message}],
        sampling,
    )


@verb("generate")
@model_argument
@click.argument("words", metavar="[PROMPT]", nargs=-1, help="Text to answer.")
@sampling_options
@model_options
def generate(front_end: FrontEnd, name: str, words: tuple[str, ...], **_: Any) -> Any:
    """Answer one prompt and return the text."""
    prompt = " ".join(words) or (front_end.body or "").strip()
    if not prompt:
        front_end.refuse("generate needs a prompt after the model")
    return front_end.model(name, **given(MODEL_OPTIONS)).generate(prompt, **given([*SAMPLING_OPTIONS, "use"]))
