"""Notifications at the end of runs and sweeps: to webhooks and commands that you set, and to nobody else.

``model.train(..., notify="desk")`` names a channel; one that is set with ``always=True`` is told of every run. They are told when a
run is done, has failed or has diverged, and not when somebody stops it. ``run.notifications`` says what arrived.

Examples
--------
>>> snb.notifications.add("desk", command=["true", "{text}"])
desk: command true
>>> snb.notifications.list()
[desk: command true]
>>> snb.notifications.test("desk")  # what went wrong; nothing did
''
>>> done = model.train(rows, start="base", max_steps=2, notify="desk", background=False)
>>> snb.notifications.remove("desk")
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from shadownb.engine.notifications import channels
from shadownb.engine.notifications.channels import Channel
from shadownb.engine.notifications.sending import send

__all__ = ["Channel", "add", "list", "remove", "test"]


def add(
    name: str, *, url: str = "", url_env: str = "", command: Sequence[str] | str = (), always: bool = False
) -> Channel:
    """Set a channel, in the place of an older one of this name, and return it.

    Parameters
    ----------
    name
        By which ``notify=`` means it.
    url, url_env
        Address that a JSON message is posted to (``text``, ``status``, ``name``, ...), or the environment variable that has
        it. It is kept in the home, readable by you alone, and shown nowhere.
    command
        A program and its arguments, run without a shell: ``["notify-send", "ShadowNB", "{text}"]``. ``{text}``,
        ``{status}`` and ``{name}`` are replaced; standard input has the message as JSON.
    always
        Whether it is told of every run and sweep, also of those that do not name it.

    Raises
    ------
    ConfigError
        Not exactly one of address and command was given, or the name or the address is none.

    Examples
    --------
    >>> snb.notifications.add("team", url="https://hooks.example.com/services/T0/secret")
    team: webhook at hooks.example.com
    >>> snb.notifications.remove("team")
    """
    return channels.add(name, url=url, url_env=url_env, command=command, always=always)


def list() -> builtins.list[Channel]:
    """Return the channels that are set.

    Examples
    --------
    >>> snb.notifications.list()
    []
    """
    return [*channels.read().values()]


def remove(name: str) -> None:
    """Take a channel away.

    Raises
    ------
    ConfigError
        There is none of this name.

    Examples
    --------
    >>> snb.notifications.remove("desk")
    Traceback (most recent call last):
        ...
    shadownb.errors.ConfigError: notify='desk': no channel has this name.
    Next: snb.notifications.add('desk', command=[...]) sets one; known are none.
    """
    channels.remove(name)


def test(name: str) -> str:
    """Send a test message now; returns what went wrong, an empty string where it was taken.

    Examples
    --------
    >>> snb.notifications.add("broken", command=["no-such-program"])
    broken: command no-such-program
    >>> snb.notifications.test("broken")
    'no-such-program cannot be run (No such file or directory)'
    >>> snb.notifications.remove("broken")
    """
    message = {"text": "ShadowNB: this is a test.", "status": "test", "name": "test", "kind": "test"}
    return send(channels.found(name), message)
