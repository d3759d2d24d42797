"""Checks of the options of a capture, before anything starts."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Sequence
from typing import Any

from shadownb.errors import BusyError, ConfigError

TOKEN_BEGINS = "snb-"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises :class:`BusyError` where the address is taken or is not this machine's."""
    try:
        return _listening(host, port)
    except OSError as error:
        raise BusyError(
            f"port={port} on {host} cannot be used: {error.strerror}.", fix="Leave port at 0 for a free one."
        ) from error


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on what it accepts; without, small pieces wait 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # On Windows SO_REUSEADDR would let another program listen at the same port, and read what agents send here.
    alone = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR if alone is None else alone, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except BaseException:
        listener.close()
        raise
    return listener


def checked_address(host: str, port: int, allow_hosts: Sequence[str]) -> tuple[str, int]:
    """Return address and port. Raises :class:`ConfigError`, also for one that others can reach while nobody is allowed."""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ConfigError(f"port={port!r} is not a port.", fix="Give 0 for a free one, or one up to 65535.")
    host = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ConfigError(
            f"host={host!r} is not an address.", fix="Give '127.0.0.1', or '0.0.0.0' with allow_hosts."
        ) from None
    if not loopback and not allow_hosts:
        raise ConfigError(
            f"host={host!r} can be reached from other machines.",
            fix="Name who may ask for it: allow_hosts=['host.docker.internal'] for containers, or leave host at 127.0.0.1.",
        )
    return host, port


def checked_token(token: str | None) -> str:
    """Return a token, made if there is none. Raises :class:`ConfigError` without repeating it."""
    if token is None:
        return f"{TOKEN_BEGINS}{secrets.token_urlsafe(24)}"
    if not isinstance(token, str) or len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            "token= is too short or has odd characters.", fix="Give 16 or more letters and digits, or leave it out."
        )
    return token


def limits(keep_days: float | None, keep_calls: int | None, keep_bytes: int | None) -> dict[str, Any]:
    """Return what ``CaptureStore.retain`` takes. Raises :class:`ConfigError`."""
    return {
        "max_age_s": None if keep_days is None else 86400 * between("keep_days", keep_days, 0, 1e6),
        "max_calls": None if keep_calls is None else int(between("keep_calls", keep_calls, 0, 1e12)),
        "max_bytes": None if keep_bytes is None else int(between("keep_bytes", keep_bytes, 0, 1e15)),
    }


def between(option: str, value: Any, low: float, high: float) -> float:
    """Return a number within bounds. Raises :class:`ConfigError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{option}={value!r} is out of range.", fix=f"Give a number from {low:g} to {high:g}.")
    return value
