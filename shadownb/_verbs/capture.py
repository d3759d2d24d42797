"""The verb ``capture``: start, stop, list, export, scrub and delete recordings; list and score their calls, add up costs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.listing import Listing
from shadownb._verbs.options import Choice, Value

if TYPE_CHECKING:
    from shadownb.engine.capture import Call, CaptureStore
    from shadownb.engine.capture.feedback import Score
    from shadownb.engine.capture.spending import Savings, Spent
    from shadownb.engine.trajectories import Trajectory

ACTIONS = (
    "start", "stop", "status", "env", "calls", "trajectories", "score", "tags", "costs", "savings", "export", "backup", "restore",
    "migrate", "vacuum", "scrub", "delete",
)  # fmt: skip
_LISTED = 20
_ALL = 2**31
_TAKES: dict[str, tuple[str, ...]] = {
    "start": (
        "model", "as_name", "api_key_env", "host", "port", "allow_hosts", "redact", "sample", "prices",
        "keep_days", "keep_calls", "keep_bytes",
    ),
    "calls": ("search", "text", "status", "tag", "limit"),
    "score": ("call", "value", "note", "of"),
    "tags": ("limit",),
    "trajectories": ("search", "kind", "limit"),
    "costs": ("by", "prices", "search", "text", "status", "tag"),
    "savings": ("hour", "tokens_per_s", "prompt_tokens_per_s", "training", "prices", "search", "text", "status", "tag"),
    "export": ("file", "search", "text", "status", "tag", "as_stored"),
    "backup": ("file",),
    "restore": ("as_name",),
    "scrub": ("redact", "api_key_env"),
    "delete": ("where", "dry_run", "yes"),
}  # fmt: skip
_FLAGS = {"allow_hosts": "allow-host", "file": "to"}


def _complete_capture(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from shadownb.engine.capture.folder import CaptureFolder

    return [folder.id for folder in CaptureFolder.all() if folder.id.startswith(incomplete)]


@verb("capture")
@click.argument("action", type=Choice(ACTIONS), help=f"{', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}.")
@click.argument(
    "name", metavar="[URL|NAME]", required=False, shell_complete=_complete_capture,
    help="For start: the upstream's base URL. For restore: the backup. Otherwise: the capture (default: the only one that is "
    "running, or the latest).",
)  # fmt: skip
@click.option(
    "--model", shell_complete=completion.complete_model, help="Local model that answers, alone or beside the upstream."
)
@click.option("--as-name", "as_name", metavar="NAME", help="Record under this name.")
@click.option(
    "--api-key-env", metavar="VARIABLE", help="Environment variable with the upstream's key, or with one to scrub."
)
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", type=Value("int"), help="Port to listen on (default: a free one).")
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="Host name by which containers reach it; may be repeated.",
)
@click.option(
    "--redact",
    multiple=True,
    metavar="RULE",
    help="personal, email, phone, phone:DE, card, iban, address, name:FILE or key, to remove from the recording; may be repeated.",
)
@click.option("--sample", type=Value("float"), help="Fraction of the conversations to record.")
@click.option("--keep-days", type=Value("float"), help="Delete calls older than this.")
@click.option("--keep-calls", type=Value("int"), help="Keep at most this many calls.")
@click.option(
    "--keep-bytes", type=Value("int"), help="Keep only as many of the newest calls as fit into this many bytes."
)
@click.option(
    "--prices",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    shell_complete=completion.complete_yaml_file,
    metavar="FILE",
    help="YAML file with prices by model; overrides the included prices.",
)
@click.option(
    "--search", help="Only calls with this in what was asked, or in the session; or episodes in which it is said."
)
@click.option("--text", metavar="WORDS", help="Only calls in whose messages, answers or tool calls these words stand.")
@click.option(
    "--status", type=Choice(("ok", "error", "cut", "client_gone", "unread")), help="Only calls with this status."
)
@click.option("--tag", metavar="NAME=VALUE", help="Only calls that their client tagged so, or with this name alone.")
@click.option("--call", metavar="ID", help="The call to score: its id, or that of its answer.")
@click.option("--value", type=Value("float"), help="The score, usually 1 for good and 0 for bad.")
@click.option("--note", metavar="WORDS", help="Words about the call, with a score or without.")
@click.option("--of", metavar="NAME", help="What is judged (default: score, which is the episode's reward).")
@click.option("--kind", help="Only episodes of this kind, such as branch or subagent.")
@click.option("--limit", type=Value("int"), help=f"At most so many; {_LISTED} calls, or all episodes, if left out.")
@click.option("--by", help="What costs are added up by: system (default), tag:NAME, model, session, dialect or status.")
@click.option("--hour", type=Value("float"), help="US dollars for an hour of a machine of your own, for savings.")
@click.option("--tokens-per-s", "tokens_per_s", type=Value("float"), help="Tokens that your model answers in a second.")
@click.option(
    "--prompt-tokens-per-s",
    "prompt_tokens_per_s",
    type=Value("float"),
    help="Tokens that it reads in a second (default: ten times as many).",
)
@click.option("--training", type=Value("float"), help="US dollars that your model costs once.")
@click.option(
    "--where",
    multiple=True,
    metavar="TEXT",
    help="Delete whoever this name, address or number is of: in recordings, rows and samples of runs; repeatable.",
)
@click.option("--dry-run", "dry_run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@click.option(
    "--to",
    "file",
    type=click.Path(dir_okay=False),
    shell_complete=completion.complete_file,
    help="File to export to: .jsonl, .parquet, or .otlp.jsonl for spans of OpenTelemetry; or to back up to.",
)
@click.option(
    "--as-stored",
    "as_stored",
    is_flag=True,
    help="Export requests and answers as they are stored, without reading them.",
)
def capture(front_end: FrontEnd, action: str, name: str | None, **options: Any) -> Any:
    """Record what an agent and a model say to each other.

    PROG capture start https://api.openai.com/v1 gives an address and a token; point the agent at them.
    PROG capture costs NAME --by tag:feature says what each call site took.
    PROG capture score NAME --call ID --value 1 --note "The right queue." keeps what you think of an answer.
    PROG capture delete --where "Ada Lovelace" deletes a person from all recordings and runs.
    PROG capture backup NAME writes it into one file, also while it records; PROG capture restore FILE makes a capture of that.
    PROG capture scrub NAME takes keys (and --redact rules) out of what an earlier version has stored.
    """
    from shadownb.engine.capture import captures

    given = {key: value for key, value in options.items() if value not in (None, ()) and value is not False}
    for odd in [key for key in given if key not in _TAKES.get(action, ())]:
        owners = " and ".join(f"capture {each}" for each, takes in _TAKES.items() if odd in takes)
        front_end.refuse(f"--{_FLAGS.get(odd, odd.replace('_', '-'))} belongs to {owners}")
    if action == "start":
        return _start(front_end, name, given)
    if action == "status":
        return _listing([row for row in captures.list() if name in (None, row["id"])])
    if action == "savings" and not {"hour", "tokens_per_s"} <= given.keys():
        front_end.refuse(
            "savings need --hour and --tokens-per-s: what a machine of yours costs, and how fast it answers"
        )
    if action == "score" and "call" not in given:
        front_end.refuse("name the call to score with --call; its id is in the answer's header x-shadownb-call")
    if action in _READS:
        return _READS[action](captures.open(name) if name else captures.latest(), **given)
    if action in ("backup", "restore", "migrate", "vacuum"):
        return _keep_files(front_end, action, name, given)
    if action == "scrub":
        if name is None:
            front_end.refuse("name the capture to scrub")
        return captures.open(name).scrub(**given)
    if action == "delete":
        return _delete(front_end, name, given)
    found = captures.find(name)
    if action == "env":
        return _environment(front_end, found.environment())
    found.stop()
    return found


def _keep_files(front_end: FrontEnd, action: str, name: str | None, given: dict[str, Any]) -> Any:
    from shadownb.engine.capture import captures

    if action == "restore":
        if name is None:
            front_end.refuse("name the file to restore from")
        return captures.restore(name, given.get("as_name"))
    chosen = name or captures.latest().id
    if action == "backup":
        return captures.backup(chosen, given.get("file"))
    return captures.migrate(chosen) if action == "migrate" else captures.vacuum(chosen)


def _delete(front_end: FrontEnd, name: str | None, given: dict[str, Any]) -> Any:
    from shadownb.engine.capture import captures

    if "where" in given:
        return _forget(front_end, name, list(given["where"]), given)
    if "dry_run" in given:
        front_end.refuse("--dry-run goes with --where")
    if name is None:
        front_end.refuse("name the capture to delete")
    store = captures.open(name)
    if not given and not front_end.confirm(f"Delete the capture {store.id} with its {store.count():,} calls?"):
        return None
    captures.delete(name)
    return None


def _forget(front_end: FrontEnd, name: str | None, where: list[str], given: dict[str, Any]) -> Any:
    """Delete a person, after saying what that takes."""
    from shadownb.engine.capture import captures

    planned = captures.delete(name, where=where, dry_run=True)
    if "dry_run" in given:
        return planned
    if "yes" not in given and not front_end.confirm(f"{planned}\nGo on?"):
        return None
    return captures.delete(name, where=where)


def _start(front_end: FrontEnd, target: str | None, options: dict[str, Any]) -> Any:
    name, model = options.pop("as_name", None), options.pop("model", None)
    if front_end.notebook:
        from shadownb.engine.capture import capture as record

        loaded = front_end.model(model) if model else None
        proxy = record(target, model=loaded, name=name, **options).start()
        front_end.note(
            "Point a client at it: base_url=proxy.base_url, api_key=proxy.token; stop it with %shadow capture stop."
        )
        return proxy
    from shadownb.engine.capture import captures

    started = captures.start(target, model=model, name=name, **options)
    front_end.note(
        f'Recording. For clients in this shell: eval "$({front_end.prog} capture env {started.id})". It outlives this shell.'
    )
    return started


def _environment(front_end: FrontEnd, variables: dict[str, str]) -> str | None:
    """Point clients here: in a notebook by this kernel's environment, as what a cell shows is saved, and the token is in it."""
    if not front_end.notebook:
        return "\n".join(f"export {key}={value}" for key, value in variables.items())
    os.environ.update(variables)
    front_end.note(f"Set in this kernel: {', '.join(variables)}. Clients that are made from now on are recorded.")
    return None


def _calls(store: CaptureStore, limit: int = _LISTED, **filters: Any) -> Listing[Call]:
    found = store.calls(limit=limit, newest_first=True, **filters)
    scores = store.scores(*(call.id for call in found)) if found else {}
    columns: dict[str, Callable[[Call], Any]] = {
        "time": lambda call: time.strftime("%H:%M:%S", time.localtime(call.started_at)),
        "asked": lambda call: call.title[:60],
        "model": lambda call: call.model,
        "status": lambda call: call.status,
        **({"score": lambda call: _values(scores.get(call.id, ()))} if scores else {}),
        "tokens": lambda call: " / ".join(
            str((call.usage or {}).get(name, "--")) for name in ("prompt_tokens", "completion_tokens")
        ),
        "cost": lambda call: None if call.cost is None else f"${call.cost:.4f}",
        "took": lambda call: None if call.duration_s is None else f"{call.duration_s:.2f} s",
        "id": lambda call: call.id,
    }
    return Listing(found, columns, empty="No call fits." if filters else "No calls yet.")


def _values(scores: Iterable[Score]) -> str | None:
    """Return the newest value of each name, the reward without its name."""
    found = {score.name: score.value for score in scores if score.value is not None}
    return ", ".join(f"{value:g}" if name == "score" else f"{name} {value:g}" for name, value in found.items()) or None


def _trajectories(
    store: CaptureStore, search: str = "", kind: str | None = None, limit: int | None = None
) -> Listing[Trajectory]:
    found = store.episodes(search=search, kind=kind, sort="oldest", limit=_ALL if limit is None else limit)
    empty = "No episode fits." if search or kind else "No call of this capture has an answer yet."
    return _episodes([store.trajectory(row["id"]) for row in found], empty)


def _export(store: CaptureStore, file: str | None = None, as_stored: bool = False, **filters: Any) -> Path:
    return store.export(file or Path(f"{store.id}.jsonl"), parsed=not as_stored, **filters)


def _costs(store: CaptureStore, by: str = "system", **given: Any) -> Listing[Spent]:
    columns = {
        by: lambda spent: spent.site or "--",
        "calls": lambda spent: f"{spent.calls:,}",
        "tokens": lambda spent: f"{spent.prompt_tokens:,} / {spent.completion_tokens:,}",
        "cost": lambda spent: None if spent.unpriced == spent.calls else f"${spent.total:.4f}",
        "without a price": lambda spent: f"{spent.unpriced:,}" if spent.unpriced else None,
        "estimated": lambda spent: f"{spent.estimated:,}" if spent.estimated else None,
    }
    found = store.costs(by, **given)
    told = any(spent.estimated for spent in found)
    note = (
        "Estimated: the answer does not say how many tokens it took; four characters are taken for one." if told else ""
    )
    return Listing(found, columns, empty="No call fits." if given else "No calls yet.", note=note)


def _score(store: CaptureStore, call: str, value: float | None = None, note: str = "", of: str = "score") -> Score:
    return store.score(call, value, name=of, note=note)


def _tags(store: CaptureStore, limit: int = _LISTED) -> Listing[dict[str, Any]]:
    columns = {
        "tag": lambda row: f"{row['name']}={row['value']}",
        "calls": lambda row: f"{row['calls']:,}",
    }
    return Listing(
        store.tags(limit=limit), columns, empty="No client of this capture sent tags (header x-shadownb-tags)."
    )


def _savings(store: CaptureStore, **given: Any) -> Savings:
    from shadownb.engine.capture.spending import savings

    return savings(store, **given)


_READS: dict[str, Callable[..., Any]] = {
    "calls": _calls, "trajectories": _trajectories, "score": _score, "tags": _tags, "costs": _costs, "savings": _savings,
    "export": _export,
}  # fmt: skip


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


def _episodes(found: list[Trajectory], empty: str) -> Listing[Trajectory]:
    columns = {
        "kind": lambda t: t.metadata.get("kind", "episode"),
        "task": lambda t: " ".join(t.first_user_content().split())[:60],
        "messages": len,
        "tools": lambda t: len(t.tool_calls),
        "tokens": lambda t: sum(t.usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens")),
        "cost": lambda t: None if t.cost is None else f"${t.cost:.4f}",
    }
    return Listing(found, columns, empty=empty)
