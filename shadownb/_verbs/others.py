"""Verbs about ShadowNB itself: studio, panel, doctor, demo, mcp, help."""

from __future__ import annotations

from typing import Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.listing import Listing
from shadownb.engine import registry


@verb("studio")
def studio(front_end: FrontEnd) -> Any:
    """Show all panels."""
    return front_end.panel("studio")


@verb("panel")
@click.argument(
    "name",
    metavar="[NAME]",
    required=False,
    shell_complete=completion.complete_panel,
    help="Name of the panel; without it, the panels are listed.",
)
def panel(front_end: FrontEnd, name: str | None) -> Any:
    """Show one panel by its name; panels of other packages, too."""
    if name is None:
        return Listing(
            registry.names("panel"), {"panel": str, "is": lambda name: registry.target("panel", name)}, empty=""
        )
    return front_end.panel(name)


@verb("doctor")
@click.option(
    "--bundle",
    metavar="[FILE]",
    is_flag=False,
    flag_value="",
    default=None,
    shell_complete=completion.complete_file,
    help="Write a zip archive for a bug report: versions, hardware, how the newest runs went; no rows, no prompts, no keys.",
)
@click.option("--clean", is_flag=True, help="Free disk space: list what can be made again, and delete it after asking.")
@click.option("--yes", is_flag=True, help="With --clean: do not ask.")
def show_doctor(front_end: FrontEnd, bundle: str | None, clean: bool, yes: bool) -> Any:
    """Check whether this machine is ready, which models fit, and what takes up disk space."""
    if bundle is not None and clean:
        front_end.refuse("--bundle and --clean are two commands; give one of them")
    if yes and not clean:
        front_end.refuse("--yes goes with --clean")
    if bundle is not None:
        from shadownb.engine.doctor.bundle import write_bundle

        return write_bundle(bundle or None, kernel=front_end.kernel)
    if clean:
        return _clean(front_end, yes=yes)
    from shadownb.engine.doctor import doctor as examine

    return examine(kernel=front_end.kernel)


def _clean(front_end: FrontEnd, *, yes: bool) -> None:
    from shadownb.engine.doctor import cleaning, storage

    planned = cleaning.plan()
    front_end.note(str(planned))
    if not planned.items:
        return
    if not yes and not front_end.confirm(f"Free {storage.readable(planned.size)}?"):
        raise click.Abort
    freed, problems = cleaning.clean(planned)
    front_end.note("\n".join([f"Freed {storage.readable(freed)}.", *problems]))


@verb("demo")
def demo(front_end: FrontEnd) -> Any:
    """Train on the included task and compare."""
    from shadownb import demo as shown

    raise click.exceptions.Exit(shown.main() or 0)


@verb("mcp")
@click.option("--skill", is_flag=True, help="Print instead what an agent should know, as a skill file.")
def mcp(front_end: FrontEnd, skill: bool) -> Any:
    """Serve the verbs as tools to a coding agent, over standard input and output.

    Example: claude mcp add shadownb -- PROG mcp
    """
    from shadownb.mcp import SKILL

    if skill:
        return SKILL.read_text(encoding="utf-8")
    from shadownb.mcp.server import serve

    serve()
    return None


def _complete_verb(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    group = ctx.find_root().command
    return (
        [name for name in group.list_commands(ctx) if name.startswith(incomplete)]
        if isinstance(group, click.Group)
        else []
    )


@verb("help")
@click.argument(
    "name",
    metavar="[VERB]",
    required=False,
    shell_complete=_complete_verb,
    help="Verb whose options are shown.",
)
def show_help(front_end: FrontEnd, name: str | None) -> None:
    """Show the verbs, or the options of one."""
    top = click.get_current_context().find_root()
    group = top.command
    assert isinstance(group, click.Group)
    if name is None:
        click.echo(top.get_help())
        return
    command = group.get_command(top, name)
    if command is None:
        raise click.exceptions.NoSuchCommand(name, possibilities=group.commands, ctx=top)
    click.echo(click.Context(command, parent=top, info_name=name).get_help())
