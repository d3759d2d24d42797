"""Where notifications go: webhooks and commands that the user has set, by name, in ``HOME/notify.json``, for its owner alone.

A run's record has the names and never what stands behind them: the address of a webhook is a secret as a password is.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from shadownb.engine.home import home, make_private
from shadownb.errors import ConfigError, ShadowError, did_you_mean

FILE = "notify.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")


@dataclass(frozen=True)
class Channel:
    """A webhook or a command.

    Attributes
    ----------
    name
        By which ``notify=`` means it.
    url
        Address that a JSON message is posted to; empty for a command.
    url_env
        Environment variable with that address, in its place.
    command
        Program and arguments; ``{text}``, ``{status}``, ``{name}`` in them are replaced, and standard input has the message as
        JSON.
    always
        Whether it is told of every run, also of those that do not name it.

    Examples
    --------
    >>> snb.notifications.add("desk", command=["true", "{text}"])
    desk: command true
    >>> snb.notifications.remove("desk")
    """

    name: str
    url: str = ""
    url_env: str = ""
    command: tuple[str, ...] = ()
    always: bool = False

    def __repr__(self) -> str:
        return f"{self.name}: {self.where}{', of every run' if self.always else ''}"

    @property
    def where(self) -> str:
        """Where it goes, in words that give no secret away."""
        if self.command:
            return f"command {self.command[0]}"
        return f"webhook in ${self.url_env}" if self.url_env else f"webhook at {urlsplit(self.url).hostname}"

    @property
    def address(self) -> str:
        """The address to post to; empty where the environment does not have it."""
        return self.url or os.environ.get(self.url_env, "")


def read() -> dict[str, Channel]:
    """Return the channels by name.

    Raises
    ------
    ShadowError
        The file is damaged.
    """
    path = _path()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {each["name"]: Channel(**{**each, "command": tuple(each["command"])}) for each in found}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShadowError(
            f"The channels of notifications cannot be read ({type(error).__name__}).", fix=f"Correct or delete {path}."
        ) from None


def add(
    name: str, *, url: str = "", url_env: str = "", command: Sequence[str] | str = (), always: bool = False
) -> Channel:
    """Set a channel, in the place of an older one of this name; see :func:`shadownb.notifications.add`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError("name= is no name of a channel.", fix="Letters, digits, dots and dashes, such as 'desk'.")
    argv = tuple(shlex.split(command) if isinstance(command, str) else map(str, command))
    if sum(map(bool, (url, url_env, argv))) != 1:
        raise ConfigError(
            f"The channel {name!r} needs one of url=, url_env= and command=.",
            fix="For example command=['notify-send', 'ShadowNB', '{text}'].",
        )
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ConfigError(f"url= of the channel {name!r} is no http address.", fix="It begins with https://.")
    made = Channel(name, url, url_env, argv, always)
    _write({**read(), name: made})
    return made


def remove(name: str) -> None:
    """Take a channel away; raises ConfigError where there is none."""
    known = read()
    found(name, known)
    _write({key: channel for key, channel in known.items() if key != name})


def found(name: str, known: dict[str, Channel] | None = None) -> Channel:
    """Return the channel of a name.

    Raises
    ------
    ConfigError
        There is none.
    """
    known = read() if known is None else known
    if name not in known:
        raise ConfigError(
            f"notify={name!r}: no channel has this name.{did_you_mean(name, list(known))}",
            fix=f"snb.notifications.add({name!r}, command=[...]) sets one; known are {', '.join(known) or 'none'}.",
        )
    return known[name]


def _write(channels: dict[str, Channel]) -> None:
    path = _path()
    make_private(path.parent)
    content: list[dict[str, Any]] = [asdict(channel) for channel in channels.values()]
    with FileLock(f"{path}.lock"):
        aside = path.with_name(f".{FILE}-{os.getpid()}")
        aside.unlink(missing_ok=True)
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        aside.replace(path)


def _path() -> Path:
    return home() / FILE
