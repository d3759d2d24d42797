"""Verbs about runs: list, watch, plot and diff them; stop, pause, resume and delete them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.options import Value, given

run_argument = click.argument(
    "name",
    metavar="[RUN]",
    required=False,
    shell_complete=completion.complete_run,
    help="Variable or id (default: the latest).",
)


@verb("runs")
@click.option("--limit", type=Value("int"), default=20, help="Newest runs to list.")
@click.option(
    "--status",
    shell_complete=completion.complete_status,
    help="Only runs in this status, such as running or interrupted.",
)
def runs(front_end: FrontEnd, limit: int, status: str | None) -> Any:
    """List the recorded runs, newest first."""
    from shadownb.engine import runs as recorded

    return recorded.list(limit, status=status)


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
def delete(front_end: FrontEnd, name: str, yes: bool) -> Any:
    """Delete a run with its checkpoints."""
    from shadownb.engine import runs as recorded

    run = front_end.run(name)
    if not yes and not front_end.confirm(f"Delete run {run.id} and its checkpoints?"):
        raise click.Abort
    recorded.delete(run.id)
    front_end.note(f"Deleted {run.id}.")
