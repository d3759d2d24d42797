"""The verb about notifications: channels that are told at the end of runs."""

from __future__ import annotations

from typing import Any

import click

from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.listing import Listing


@verb("notify")
@click.argument("name", metavar="[CHANNEL]", required=False, help="Its name; without it, the channels are listed.")
@click.option("--url-env", metavar="VARIABLE", help="Set it: environment variable with the address of a webhook.")
@click.option("--command", help='Set it: program and arguments, such as "notify-send ShadowNB {text}".')
@click.option("--always", is_flag=True, help="With one of these: tell it of every run, not only of those that name it.")
@click.option("--test", is_flag=True, help="Send a test message now.")
@click.option("--remove", is_flag=True, help="Take it away.")
def notify(
    front_end: FrontEnd,
    name: str | None,
    url_env: str | None,
    command: str | None,
    always: bool,
    test: bool,
    remove: bool,
) -> Any:
    """List, set, test or remove channels that are told when a run or sweep has ended.

    Example: PROG notify desk --command "notify-send ShadowNB {text}"
    """
    from shadownb.engine import notifications

    if name is None:
        columns = {
            "channel": lambda each: each.name,
            "goes to": lambda each: each.where,
            "of": lambda each: "every run" if each.always else "runs that name it",
        }
        empty = f"No channels. {front_end.prog} notify NAME --command ... sets one."
        return Listing(notifications.list(), columns, empty=empty)
    if url_env is not None or command is not None:
        return notifications.add(name, url_env=url_env or "", command=command or "", always=always)
    if remove:
        notifications.remove(name)
        return front_end.note(f"Removed {name}.")
    if test:
        problem = notifications.test(name)
        return problem or "Sent."
    return next((each for each in notifications.list() if each.name == name), None) or front_end.refuse(
        f"No channel is named {name!r}"
    )
