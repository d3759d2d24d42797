"""Verbs about runs: list, queue, watch, plot and diff them; stop, pause, resume and delete them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.listing import Listing
from shadownb._verbs.options import Value, given

run_argument = click.argument(
    "name",
    metavar="[RUN]",
    required=False,
    shell_complete=completion.complete_run,
    help="Variable or id (default: the latest).",
)


@verb("runs")
@click.argument(
    "query",
    metavar="[QUERY]",
    nargs=-1,
    help="Words and conditions, such as tag:baseline method:lora 'loss<0.5' (see snb.runs.search).",
)
@click.option("--limit", type=Value("int"), default=20, help="Runs to list at most.")
@click.option(
    "--status",
    shell_complete=completion.complete_status,
    help="Only runs in this status, such as running or interrupted.",
)
@click.option("--sort", default="created_at", help="Column to sort by, largest first: an option, a metric, elapsed_s.")
@click.option("--up", is_flag=True, help="The smallest first.")
@click.option("--archived", is_flag=True, help="Archived runs, too.")
@click.option("--trash", is_flag=True, help="List instead what was deleted and can be restored.")
def runs(
    front_end: FrontEnd,
    query: tuple[str, ...],
    limit: int,
    status: str | None,
    sort: str,
    up: bool,
    archived: bool,
    trash: bool,
) -> Any:
    """List the recorded runs, newest first, or those that a query finds."""
    from shadownb.engine import runs as recorded

    if trash:
        return Listing(recorded.trashed(), {"run": str}, empty="The trash is empty.")
    wanted = " ".join([*query, *([f"status={status}"] if status else [])])
    found = recorded.search(wanted, sort=sort, descending=not up, archived=archived)
    if len(found) > limit:
        front_end.note(f"{limit} of {len(found):,} runs; --limit {len(found)} lists all.")
    return recorded.RunList(found[:limit])


@verb("queue")
@click.argument(
    "name",
    metavar="[RUN]",
    required=False,
    shell_complete=completion.complete_run,
    help="A run that waits, to be moved.",
)
@click.option("--to", "place", type=Value("int"), help="Its new place; 1 begins next.")
@click.option("--pause", is_flag=True, help="Have no further run begin.")
@click.option("--resume", is_flag=True, help="Let runs begin again.")
def queue(front_end: FrontEnd, name: str | None, place: int | None, pause: bool, resume: bool) -> Any:
    """Show what trains and what waits; move a run, pause the queue.

    A run that waits is taken out by stop, and held by pause until resume.
    """
    from shadownb.engine import runs as recorded

    if (name is None) != (place is None):
        front_end.refuse(f"a run is moved by both: {front_end.prog} queue RUN --to 1")
    found = recorded.queue()
    if name is not None and place is not None:
        found.move(front_end.run(name), place - 1)
    if pause or resume:
        found = found.pause() if pause else found.resume()
    return found


@verb("mark")
@click.argument("name", metavar="RUN", shell_complete=completion.complete_run, help="Variable or id.")
@click.option("--tag", "tags", multiple=True, help="Add a tag; may be given several times.")
@click.option("--untag", multiple=True, help="Take a tag away.")
@click.option("--note", help='Replace the note; "" takes it away.')
@click.option("--pin/--unpin", "pinned", default=None, help="Show it above others in tables.")
@click.option("--archive/--unarchive", "archived", default=None, help="Leave it out of tables.")
def mark(
    front_end: FrontEnd,
    name: str,
    tags: tuple[str, ...],
    untag: tuple[str, ...],
    note: str | None,
    pinned: bool | None,
    archived: bool | None,
) -> Any:
    """Tag, annotate, pin or archive a run."""
    run = front_end.run(name)
    kept = [tag for tag in (*run.marks.tags, *tags) if tag not in untag]
    return run.mark(tags=kept if tags or untag else None, note=note, pinned=pinned, archived=archived).marks


@verb("restore")
@click.argument("name", metavar="RUN", help="Id of a run that was deleted with --trash.")
def restore(front_end: FrontEnd, name: str) -> Any:
    """Bring a run back from the trash."""
    from shadownb.engine import runs as recorded

    return recorded.restore(name)


@verb("watch")
@run_argument
def watch(front_end: FrontEnd, name: str | None) -> Any:
    """Follow a run in any process until it ends."""
    return front_end.attach(front_end.run(name))


@verb("plot")
@run_argument
@click.option(
    "--metric", shell_complete=completion.complete_metric, help="Only this curve, such as loss or learning_rate."
)
@click.option(
    "--smooth", type=Value("float"), help="Smoothing of the curve, 0 to below 1 (default: 0.6 for the loss, else 0)."
)
@click.option("--log", is_flag=True, help="Logarithmic scale.")
@click.option("--window", type=Value("int"), help="Only this many of the newest points.")
@click.option("--clip", type=Value("float"), help="Share of the points that the scale has to show, such as 0.95.")
@click.option(
    "--to",
    "file",
    type=click.Path(dir_okay=False),
    shell_complete=completion.complete_file,
    help="Write an HTML page instead of showing the curves.",
)
def plot(front_end: FrontEnd, name: str | None, metric: str | None, file: str | None, **_: Any) -> Any:
    """Show the curves of a run."""
    run = front_end.run(name)
    view = given(("smooth", "log", "window", "clip"))
    if file is not None:
        run.figure(metric, **view).write_html(file)
        return Path(file)
    return run.figure(metric, **view) if front_end.notebook else run.plot(metric or "loss", **view)


@verb("diff")
@click.argument(
    "names",
    metavar="RUN RUN [RUN ...]",
    nargs=-1,
    shell_complete=completion.complete_run,
    help="Variables or ids (default: the two latest).",
)
def diff(front_end: FrontEnd, names: tuple[str, ...]) -> Any:
    """Show runs side by side: the options that differ, their results and losses."""
    from shadownb.engine import runs as recorded

    return recorded.diff([front_end.run(name) for name in names] or recorded.list(limit=2))


@verb("stop")
@run_argument
@click.option("--discard", is_flag=True, help="Throw away what was trained instead of keeping it.")
def stop(front_end: FrontEnd, name: str | None, discard: bool) -> Any:
    """Stop a run after its current step and keep what it has learned."""
    run = front_end.run(name, going_on=True)
    return run.discard() if discard else run.stop()


@verb("pause")
@run_argument
def pause(front_end: FrontEnd, name: str | None) -> Any:
    """Pause a run; its model is free meanwhile."""
    return front_end.run(name, going_on=True).pause()


@verb("resume")
@run_argument
def resume(front_end: FrontEnd, name: str | None) -> Any:
    """Continue a paused, stopped or interrupted run."""
    run = front_end.run(name)
    elsewhere = run.is_active
    run.resume()
    return run if elsewhere else front_end.watch(run)


@verb("delete")
@click.argument(
    "name",
    metavar="RUN",
    shell_complete=completion.complete_run,
    help="Variable or id.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--trash", is_flag=True, help="Only so that restore brings it back.")
def delete(front_end: FrontEnd, name: str, yes: bool, trash: bool) -> Any:
    """Delete a run with its checkpoints."""
    from shadownb.engine import runs as recorded

    run = front_end.run(name)
    if trash:
        recorded.trash(run.id)
        front_end.note(f"Deleted {run.id}; restore {run.id} brings it back.")
        return
    if not yes and not front_end.confirm(f"Delete run {run.id} and its checkpoints?"):
        raise click.Abort
    recorded.delete(run.id)
    front_end.note(f"Deleted {run.id}.")
