"""Declaring verbs, and making of them the group of one front end."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import click

from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.options import Verb

_NOTEBOOK_ONLY = ("load", "panel", "studio")
_SHELL_ONLY = ("demo", "mcp")
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

_verbs: dict[str, click.Command] = {}


def verb(name: str, cls: type[Verb] = Verb) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a verb; the function's docstring is its help, in which PROG stands for ``%shadow`` or ``shadownb``."""

    def declare(function: Callable[..., Any]) -> click.Command:
        _verbs[name] = command = click.command(name, cls=cls)(click.pass_obj(function))
        return command

    return declare


def verbs_for(front_end: type[FrontEnd]) -> click.Group:
    """Return the group of verbs that a front end offers, under the name it is typed with."""
    other = _SHELL_ONLY if front_end.notebook else _NOTEBOOK_ONLY
    group = click.Group(
        front_end.prog,
        help="Fine-tune, watch and use small language models.",
        commands={name: _for(front_end, command) for name, command in _verbs.items() if name not in other},
        invoke_without_command=True,
        callback=_show_help,
        context_settings=_SETTINGS,
    )
    if not front_end.notebook:
        click.version_option(package_name="shadownb")(group)
    return group


def _for(front_end: type[FrontEnd], command: click.Command) -> click.Command:
    """Return the command as one front end shows it; in a notebook with ``--as``, as a cell magic cannot be assigned."""
    command = copy.copy(command)
    command.help = (command.help or "").replace("PROG", front_end.prog)
    if front_end.notebook:
        command.params = [
            *command.params,
            click.Option(
                ["--as", "target"],
                metavar="NAME",
                help="Variable that gets the result.",
                expose_value=False,
                callback=_remember_target,
            ),
        ]
    return command


def _remember_target(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and not value.isidentifier():
        raise click.BadParameter(f"{value!r} is not a variable name.", ctx, param)
    if ctx.obj is not None:
        ctx.obj.target = value


def _show_help() -> None:
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
