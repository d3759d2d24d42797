"""Verbs about ShadowNB itself: studio, panel, doctor, demo, help."""

from __future__ import annotations

from typing import Any

import click

from shadownb._verbs.completion import complete_panel
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
    shell_complete=complete_panel,
    help="Which; left out, those that there are.",
)
def panel(front_end: FrontEnd, name: str | None) -> Any:
    """Show one panel by its name, also one that another package brings."""
    if name is None:
        return Listing(
            registry.names("panel"), {"panel": str, "is": lambda name: registry.target("panel", name)}, empty=""
        )
    return front_end.panel(name)


@verb("doctor")
def show_doctor(front_end: FrontEnd) -> Any:
    """Check whether this machine is ready."""
    from shadownb.engine.doctor import doctor as examine

    return examine(kernel=front_end.kernel)


@verb("demo")
def demo(front_end: FrontEnd) -> Any:
    """Train on the shipped task and compare."""
    from shadownb import demo as shown

    raise click.exceptions.Exit(shown.main() or 0)


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
