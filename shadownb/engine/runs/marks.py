"""What people note about a run: tags, a note, whether it is pinned or put away; ``marks.json`` in its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from filelock import FileLock, Timeout

from shadownb.engine.disk import write_atomically
from shadownb.engine.runs.folder import RunFolder
from shadownb.errors import ConfigError, RunError

NAME = "marks.json"
_LONGEST_TAG, _LONGEST_NOTE = 60, 20_000  # characters
_PATIENCE_S = 5.0  # for another process that writes marks of the same run, which takes milliseconds


@dataclass(frozen=True)
class Marks:
    """What people noted about a run.

    Attributes
    ----------
    tags
        Short words to find it by, in the order in which they were given.
    note
        Free text.
    pinned, archived
        Whether tables show it above others; whether they leave it out unless asked for.

    Examples
    --------
    >>> run.mark(tags=["baseline"]).marks
    Marks(tags=('baseline',), note='', pinned=False, archived=False)
    >>> run.mark(tags=[]).marks.tags
    ()
    """

    tags: tuple[str, ...] = ()
    note: str = ""
    pinned: bool = False
    archived: bool = False


def read_marks(run: RunFolder) -> Marks:
    """Return what is noted about a run.

    Raises
    ------
    RunError
        The file is damaged.
    """
    path = run.path / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Marks(
            tuple(map(str, content["tags"])), str(content["note"]), bool(content["pinned"]), bool(content["archived"])
        )
    except FileNotFoundError:
        return Marks()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"Tags and note of run {run.id} cannot be read ({error!r}).", fix=f"Restore or delete {path}."
        ) from None


def change_marks(
    run: RunFolder,
    *,
    tags: Sequence[str] | str | None = None,
    note: str | None = None,
    pinned: bool | None = None,
    archived: bool | None = None,
) -> Marks:
    """Replace what is given, leave the rest, and return all; other processes may change others at the same time.

    Raises
    ------
    ConfigError
        A tag is empty or too long, or the note is.
    RunError
        The file is damaged, or another process keeps it.
    """
    given: dict[str, Any] = {"note": note, "pinned": pinned, "archived": archived}
    if tags is not None:
        given["tags"] = _checked([tags] if isinstance(tags, str) else list(tags))
    if note is not None and len(note) > _LONGEST_NOTE:
        raise ConfigError(f"note= has {len(note):,} characters.", fix=f"At most {_LONGEST_NOTE:,} are kept.")
    try:
        with FileLock(run.path / f"{NAME}.lock", timeout=_PATIENCE_S):
            new = replace(read_marks(run), **{name: value for name, value in given.items() if value is not None})
            write_atomically(run.path / NAME, json.dumps(asdict(new), ensure_ascii=False))
    except Timeout:
        raise RunError(f"Another process keeps the tags of run {run.id}.", fix="Try again.") from None
    return new


def _checked(tags: list[Any]) -> tuple[str, ...]:
    words = [tag.strip() if isinstance(tag, str) else tag for tag in tags]
    for word in words:
        if not isinstance(word, str) or not word or len(word) > _LONGEST_TAG or not word.isprintable():
            raise ConfigError(
                f"tags={word!r} is no tag.", fix=f"A tag is a text of 1 to {_LONGEST_TAG} characters on one line."
            )
    return tuple(dict.fromkeys(words))
