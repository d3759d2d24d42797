"""The folder of a capture: ``calls.sqlite``, ``capture.json`` (how it was started), ``owner.lock`` and, while a process of
its own records, ``process.json`` and ``token``, which only their owner can read, and ``end`` once somebody asks it to."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import random
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shadownb.engine.capture.schema import FILE, naming
from shadownb.engine.capture.spellings import Spellings
from shadownb.engine.disk import is_full, put_in_place
from shadownb.engine.home import home as default_home
from shadownb.engine.home import make_private
from shadownb.errors import BusyError, ConfigError, DataError, DiskFullError, ShadowError, did_you_mean

_RESERVED = 1 << 20  # bytes
_PROBED_SECONDS = 0.3  # a list of captures holds each lock for an instant, to see whether somebody else does
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class CaptureFolder:
    """Paths and small files of one capture, in ``HOME/captures``; no home is that of ``SHADOWNB_HOME``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self.database = path / FILE
        self.process = path / "process.json"
        self.token = path / "token"
        self.log = path / "process.log"
        self.end = path / "end"
        self._reserve = path / "reserve"
        self._facts = path / "capture.json"
        self._lock = FileLock(path / "owner.lock")

    @classmethod
    def create(cls, name: str | None = None, home: str | Path | None = None) -> CaptureFolder:
        """Make a folder, or return the one of a name that is used again."""
        if name is None:
            name = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
        if Spellings().clean_text(name) != name:
            raise ConfigError("The name of a capture cannot be a key.", fix="Give another name, or leave it out.")
        if not _NAME.fullmatch(name):
            raise ConfigError(f"name={name!r} cannot name a capture.", fix="Use letters, digits, '.', '_' and '-'.")
        path = _captures(home) / name
        try:
            make_private(path)
        except OSError as error:
            raise _no_folder(path, error) from error
        path.chmod(0o700)  # conversations are nobody else's business
        return cls(path)

    @classmethod
    def find(cls, path_or_id: str | Path, home: str | Path | None = None) -> CaptureFolder:
        """Return the folder of an id or of a path. Raises :class:`DataError` if there is none."""
        text = str(path_or_id)
        if _NAME.fullmatch(text) and (_captures(home) / text / FILE).is_file():
            return cls(_captures(home) / text)
        path = Path(text).expanduser()
        path = path.parent if path.name == FILE else path
        if (path / FILE).is_file():
            return cls(path)
        raise DataError(
            f"There is not a capture {text!r}.{did_you_mean(text, [folder.id for folder in cls.all(home)])}",
            fix="shadownb.captures.list() shows those there are.",
        )

    @classmethod
    def all(cls, home: str | Path | None = None) -> list[CaptureFolder]:
        """Return every capture's folder, the one that was started last first."""
        folders = [cls(file.parent) for file in _captures(home).glob(f"*/{FILE}")]
        return sorted(folders, key=lambda folder: folder._written_ns, reverse=True)

    @property
    def _written_ns(self) -> int:
        # Not the folder's own time, nor its newest file's: whoever only reads a store makes and removes files in it.
        for path in (self._facts, self.database):
            with contextlib.suppress(FileNotFoundError):
                return path.stat().st_mtime_ns
        return 0

    # -- ownership ------------------------------------------------------------------------------------------------

    def own(self) -> None:
        """Become the one who records here. Raises :class:`BusyError` if somebody does already."""
        try:
            self._lock.acquire(timeout=_PROBED_SECONDS, poll_interval=0.02)
        except Timeout:
            raise BusyError(
                f"The capture {self.id!r} is being recorded already.",
                fix="Stop that one first, attach to it with shadownb.captures.attach(), or choose another name.",
            ) from None

    def disown(self) -> None:
        """Let others record here."""
        self._lock.release()

    @property
    def is_owned(self) -> bool:
        """Whether somebody records here now, in whatever process."""
        if self._lock.is_locked:
            return True
        probe = FileLock(self.path / "owner.lock")
        try:
            probe.acquire(timeout=0)
        except Timeout:
            return True
        probe.release()
        return False

    # -- small files ----------------------------------------------------------------------------------------------

    @property
    def facts(self) -> dict[str, Any]:
        """How the capture was started; holds no key and no token."""
        return read_json(self._facts)

    def write_facts(self, facts: dict[str, Any]) -> None:
        """Keep how the capture was started. Raises :class:`DiskFullError` where there is no room."""
        try:
            write_private(self._facts, json.dumps(facts, indent=1))
        except OSError as error:
            if not is_full(error):
                raise
            raise _no_folder(self.path, error) from error

    def keep_room(self) -> None:
        """Hold some room on the disk: what deletes calls writes first, and on a full disk could not.

        Raises
        ------
        DiskFullError
            There is none.
        """
        try:
            if not self._reserve.exists():
                self._reserve.write_bytes(random.randbytes(_RESERVED))  # not a hole, also where the disk compresses
        except OSError as error:
            with contextlib.suppress(OSError):
                self._reserve.unlink(missing_ok=True)
            raise _no_folder(self.path, error) from error

    def give_room(self) -> None:
        """Let go of that room."""
        self._reserve.unlink(missing_ok=True)

    def delete(self) -> None:
        """Delete the capture with all its calls. Raises :class:`BusyError` while it records."""
        if self.is_owned:
            raise BusyError(f"The capture {self.id!r} is recording.", fix="Stop it first.")
        with naming:
            _remove(self.path)


def _remove(path: Path, tries: int = 100) -> None:
    """Remove a folder in which another process may open and close files meanwhile, which adds some and takes them away."""
    while path.exists():
        tries -= 1
        try:
            shutil.rmtree(path)
        except OSError as error:
            if not tries or error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise


def _no_folder(path: Path, error: OSError) -> ShadowError:
    """Return the error of a folder that cannot be written to."""
    if is_full(error):
        what, fix = (
            f"There is no room to record at {path}: the disk is full.",
            "Free disk space, or set SHADOWNB_HOME to a larger disk.",
        )
        return DiskFullError(what, fix=fix)
    return ConfigError(
        f"Nothing can be recorded at {path}: {error.strerror}.",
        fix="Set SHADOWNB_HOME to a folder that you may write to, or give home=.",
    )


def _captures(home: str | Path | None) -> Path:
    """Return where the captures of a home are; None is that of ``SHADOWNB_HOME``."""
    return (default_home() if home is None else Path(home).expanduser()) / "captures"


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)
