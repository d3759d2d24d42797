"""Sending one notification: a POST of JSON, or a program that is run. What went wrong is told without addresses or arguments."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from shadownb.engine.notifications.channels import Channel
from shadownb.engine.processes import detached

_POST_SECONDS, _COMMAND_SECONDS = 10.0, 20.0


def send(channel: Channel, message: Mapping[str, Any]) -> str:
    """Send a message; return what went wrong, or an empty string.

    Parameters
    ----------
    message
        ``text``, ``status``, ``name`` and whatever else a receiver may want, as JSON values. Slack, Mattermost and the like show
        ``text``, Discord ``content``, which has the same words.
    """
    return _run(channel, message) if channel.command else _post(channel, message)


def _post(channel: Channel, message: Mapping[str, Any]) -> str:
    import httpx

    if not channel.address:
        return f"the environment variable {channel.url_env} is not set"
    host = urlsplit(channel.address).hostname
    try:
        answer = httpx.post(
            channel.address, json={**message, "content": message["text"]}, timeout=_POST_SECONDS, follow_redirects=False
        )
    except httpx.TimeoutException:
        return f"{host} did not answer within {_POST_SECONDS:.0f} s"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # its text may have the address
        return f"{host} cannot be reached ({type(error).__name__})"
    return "" if answer.is_success else f"{host} answered {answer.status_code}"


def _run(channel: Channel, message: Mapping[str, Any]) -> str:
    argv = [_filled(part, message) for part in channel.command]
    program = channel.command[0]
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **detached()
        )
    except OSError as error:
        return f"{program} cannot be run ({error.strerror or type(error).__name__})"
    try:
        process.communicate(json.dumps(message).encode(), timeout=_COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"{program} took longer than {_COMMAND_SECONDS:.0f} s"
    return "" if process.returncode == 0 else f"{program} ended with code {process.returncode}"


def _filled(part: str, message: Mapping[str, Any]) -> str:
    for name in ("text", "status", "name"):
        part = part.replace("{" + name + "}", str(message[name]))
    return part


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program with what it has started."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
