"""The target: the one base URL and key of a capture, checked before anything starts, and how it may be shown."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from shadownb.engine.capture.options import TOKEN_BEGINS
from shadownb.engine.capture.spellings import Spellings
from shadownb.errors import ConfigError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_DIALECT_OF_BASE = re.compile(r"(?:/openai)?(?:/v1(?:beta|alpha)?)?(?:/openai)?$")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Target:
    """Where calls go.

    Attributes
    ----------
    base
        URL up to and with ``/v1`` (or what the provider has in its place), without a slash at its end.
    key_name
        Environment variable the key comes from, or None.
    """

    base: str
    key_name: str | None
    _keys: tuple[str | None, str | None]

    @classmethod
    def of(cls, url: str, api_key_env: str | None, *, api_key: str | None = None, option: str = "target") -> Target:
        """Check a base URL and take the key from the environment, unless it is given.

        Parameters
        ----------
        option
            What the caller calls the URL, for errors.

        Raises
        ------
        ConfigError
            The URL is no http(s) URL or holds a password, or the key's variable is not set or holds a capture's token.
        """
        parts = _parts(url)
        if (
            parts is None
            or parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
        ):
            raise ConfigError(
                f"{option}={shown(url)!r} is not a base URL.",
                fix="Give one such as 'https://api.openai.com/v1' or 'https://api.anthropic.com'"
                + (", or a loaded model." if option == "target" else "."),
            )
        if parts.username or parts.password:
            raise ConfigError(
                f"{option}={shown(url)!r} holds a password.", fix="Put the key into an environment variable."
            )
        base = url.rstrip("/")
        base = base if parts.path.strip("/") else f"{base}/v1"
        host = parts.hostname
        if api_key:
            return cls(base, None, (api_key, api_key))
        if api_key_env is not None:
            names: tuple[str, str] = (api_key_env, api_key_env)
            if not _VARIABLE.fullmatch(api_key_env):  # not repeated: it is the key itself, more often than not
                raise ConfigError(
                    "api_key_env= is not the name of an environment variable.",
                    why="A name has letters, digits and underscores. A key given here would stand in the notebook.",
                    fix="Put the key into a variable and name that one, for example api_key_env='MY_GATEWAY_KEY'.",
                )
            if _key(api_key_env) is None:
                raise ConfigError(
                    f"api_key_env={api_key_env!r} is not set in the environment.", fix="Set it, then start again."
                )
        else:
            names = _variables(host)
        keys = _key(names[0]), _key(names[1])
        if names[0] == names[1] and keys[0] is None:
            raise ConfigError(
                f"There is no key for {host}: {names[0]} is not set.",
                fix=f"Set {names[0]}, or name another variable with api_key_env=.",
            )
        given = {name: key for name, key in zip(names, keys, strict=True) if key}
        for name, key in given.items() if host not in _LOOPBACK else ():
            if key.startswith(TOKEN_BEGINS):
                raise ConfigError(
                    f"{name} holds the token of a capture, which is not a key for {host}.",
                    fix="Start the capture before its token goes into the environment, or name the key's variable: api_key_env=.",
                )
        return cls(base, next(iter(given), None), keys)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys, so that they can be kept out of records."""
        return tuple(key for key in self._keys if key)

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        return urlsplit(self.base).hostname in _LOOPBACK

    @property
    def host(self) -> str:
        """The base without what OpenAI's dialect has there: Azure's and Gemini's own paths begin behind it."""
        return _DIALECT_OF_BASE.sub("", self.base)

    def authorisation(self, path: str) -> list[tuple[str, str]]:
        """Return the headers that carry the key on a path."""
        key = self._keys[1 if path.startswith("/messages") else 0]
        if key is None:
            return []
        host = urlsplit(self.base).hostname or ""
        if _is_of(host, "azure.com") or path.startswith("/openai/"):
            return [("api-key", key)]
        if ":" in path.rpartition("/")[2] and path.startswith("/v1"):  # Gemini's own
            return [("x-goog-api-key", key)]
        bearer, own = ("authorization", f"Bearer {key}"), ("x-api-key", key)
        if _is_of(host, "anthropic.com"):
            # There OpenAI's dialect is a guest; everything else, lists of models too, wants Anthropic's own header.
            return [bearer] if path.startswith("/chat/") else [own]
        # Servers that only speak Anthropic's dialect mostly take the key as OpenAI's do.
        return [own, bearer] if path.startswith("/messages") else [bearer]

    def __repr__(self) -> str:
        return f"Target({self.shown!r}, key from {self.key_name})"

    @property
    def shown(self) -> str:
        """The base URL as it may be shown and stored: some gateways want a key in the path."""
        return Spellings(self.secrets).clean_text(shown(self.base))


class WithoutKeys(logging.Filter):
    """Takes keys out of what httpx and httpcore log: addresses may have one in path or query, answers in a header."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._spellings = Spellings(target.secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._spellings.clean_text(str(record.msg))
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg if isinstance(arg, int | float) else self._spellings.clean_text(str(arg)) for arg in record.args
            )
        return True


def _variables(host: str) -> tuple[str, str]:
    """Return where the keys of a host come from: for OpenAI's dialects, and for Anthropic's."""
    if _is_of(host, "googleapis.com"):
        name = next((name for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY") if _key(name)), "GEMINI_API_KEY")
        return name, name
    owners = {"anthropic.com": "ANTHROPIC_API_KEY", "openai.com": "OPENAI_API_KEY", "azure.com": "AZURE_OPENAI_API_KEY"}
    known = next((name for owner, name in owners.items() if _is_of(host, owner)), None)
    return ("OPENAI_API_KEY", "ANTHROPIC_API_KEY") if known is None else (known, known)


def _key(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def _parts(url: str) -> SplitResult | None:
    """Return the parts of a URL, or None where it is none (brackets without an end, a port that is no number)."""
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port else None
    except ValueError:
        return None


def _is_of(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def shown(url: str) -> str:
    """Return a URL without what may be a key in it: user and password, the query, and what has the shape of a key."""
    scheme, found, rest = str(url).partition("://")
    host, slash, path = (rest if found else scheme).partition("/")
    plain = f"{host.rpartition('@')[2]}{slash}{path.partition('?')[0].partition('#')[0]}"
    return Spellings().clean_text(f"{scheme}{found}{plain}" if found else plain)
