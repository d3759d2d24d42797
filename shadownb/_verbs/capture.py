"""The verb ``capture``: start, stop, list and export recordings, and list their episodes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.face import Face
from shadownb._verbs.listing import Listing
from shadownb._verbs.options import Choice, Value

if TYPE_CHECKING:
    from shadownb.engine.trajectories import Trajectory

ACTIONS = ("start", "stop", "status", "env", "trajectories", "export")


def _complete_capture(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from shadownb.engine.capture.folder import CaptureFolder

    return [folder.id for folder in CaptureFolder.all() if folder.id.startswith(incomplete)]


@verb("capture")
@click.argument("action", type=Choice(ACTIONS), help="start, stop, status, env (variables), trajectories or export.")
@click.argument(
    "name", metavar="[URL|NAME]", required=False, shell_complete=_complete_capture,
    help="For start the upstream's base URL, else the capture; the only one that runs if left out.",
)  # fmt: skip
@click.option(
    "--model", shell_complete=completion.complete_model, help="Local model that answers, alone or beside the upstream."
)
@click.option("--as-name", "as_name", metavar="NAME", help="Record under this name.")
@click.option("--api-key-env", metavar="VARIABLE", help="Environment variable with the upstream's key.")
@click.option("--host", help="Address to listen on; 127.0.0.1 if left out.")
@click.option("--port", type=Value("int"), help="Port to listen on; a free one if left out.")
@click.option(
    "--allow-host", "allow_hosts", multiple=True, metavar="NAME", help="Name by which containers reach it; repeatable."
)
@click.option(
    "--redact", multiple=True, metavar="RULE", help="email, phone, card or key, in what is recorded; repeatable."
)
@click.option("--sample", type=Value("float"), help="Share of the conversations to record.")
@click.option("--keep-days", type=Value("float"), help="Delete calls older than this.")
@click.option("--keep-calls", type=Value("int"), help="Keep only so many calls.")
@click.option("--to", "file", type=click.Path(dir_okay=False), help="File to export to: .jsonl or .parquet.")
def capture(face: Face, action: str, name: str | None, file: str | None, **options: Any) -> Any:
    """Record what an agent and a model say to each other.

    PROG capture start https://api.openai.com/v1 gives an address and a token; point the agent at them.
    """
    from shadownb.engine.capture import captures

    given = {key: value for key, value in options.items() if value not in (None, ())}
    if action == "start":
        return _start(face, name, given)
    if given:
        face.refuse(f"--{next(iter(given)).replace('_', '-')} belongs to capture start")
    if action == "status":
        return _listing([row for row in captures.list() if name in (None, row["id"])])
    if action == "trajectories":
        from shadownb.engine.trajectories import trajectories_of

        return _episodes(trajectories_of(captures.open(name) if name else captures.latest()))
    if action == "export":
        store = captures.open(name) if name else captures.latest()
        return store.export(file or Path(f"{store.id}.jsonl"))
    found = captures.find(name)
    if action == "env":
        return "\n".join(f"export {key}={value}" for key, value in found.environment().items())
    found.stop()
    return found


def _start(face: Face, target: str | None, options: dict[str, Any]) -> Any:
    name, model = options.pop("as_name", None), options.pop("model", None)
    if face.notebook:
        from shadownb.engine.capture import capture as record

        loaded = face.model(model) if model else None
        proxy = record(target, model=loaded, name=name, **options).start()
        face.note(
            "Point a client at it: base_url=proxy.base_url, api_key=proxy.token; stop it with %shadow capture stop."
        )
        return proxy
    from shadownb.engine.capture import captures

    started = captures.start(target, model=model, name=name, **options)
    face.note(
        f'Recording. For clients in this shell: eval "$({face.prog} capture env {started.id})". It outlives this shell.'
    )
    return started


def _listing(rows: list[dict[str, Any]]) -> Listing[dict[str, Any]]:
    columns = {
        "id": lambda row: row["id"],
        "state": lambda row: "recording" if row["recording"] else "stopped",
        "upstream": lambda row: row["target"] or row["model"],
        "calls": lambda row: row["calls"],
        "cost": lambda row: None if row["cost"] is None else f"${row['cost']:.4f}",
        "started": lambda row: time.strftime("%Y-%m-%d %H:%M", time.localtime(row["started_at"] or 0)),
    }
    return Listing(rows, columns, empty="No captures yet. Record one with: capture start URL")


def _episodes(found: list[Trajectory]) -> Listing[Trajectory]:
    columns = {
        "kind": lambda t: t.metadata.get("kind", "episode"),
        "task": lambda t: " ".join(t.first_user_content().split())[:60],
        "messages": len,
        "tools": lambda t: len(t.tool_calls),
        "tokens": lambda t: sum(t.usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens")),
        "cost": lambda t: None if t.cost is None else f"${t.cost:.4f}",
    }
    return Listing(found, columns, empty="No call of this capture has an answer yet.")
