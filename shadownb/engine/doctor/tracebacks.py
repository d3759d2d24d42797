"""Tracebacks for others to read: files of installed packages with line and function, without the lines of code and without
what an error says of somebody's data.
"""

from __future__ import annotations

import builtins
import functools
import importlib.util
import re
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from shadownb.engine.doctor.vocabulary import LEFT_OUT, Vocabulary

_BEGINS = "Traceback (most recent call last):"
_FRAME = re.compile(r'\s*File "([^"\n]{1,1000})", line (\d{1,6}), in ([\w.<>]{1,100})')
_ERROR = re.compile(r"(?:[A-Za-z_]\w*\.){0,6}([A-Z]\w{2,60})(?:: (.*))?")
_BETWEEN = ("The above exception was the direct cause", "During handling of the above exception")
# An exception of another library: words in CamelCase, as classes are called, and nothing that could be a key.
_CLASS = re.compile(r"(?:[A-Z][a-z]{1,20}){0,6}(?:Error|Exception|Warning|Interrupt|Exit)")


class Tracebacks:
    """Reads tracebacks in which frames of known packages are kept.

    Parameters
    ----------
    packages
        Names of installed distributions whose files may be named.
    """

    def __init__(self, words: Vocabulary, packages: Iterable[str]) -> None:
        self._words = words
        self._roots = dict(_roots(packages))

    def told(self, text: str) -> str:
        """Return a traceback without lines of code, files of the user's, and what is not known of the errors' texts."""
        lines: list[str] = []
        for line in text.splitlines():
            if (frame := _FRAME.match(line)) is not None:
                lines.append(self._frame(*frame.groups()))
            elif line.startswith((_BEGINS, *_BETWEEN)):
                lines.append(self._words.told(line) if line.startswith(_BETWEEN) else _BEGINS)
            elif line and not line[0].isspace():
                lines.append(self._error(line))
        return "\n".join(lines)

    def in_log(self, text: str) -> str:
        """Return the tracebacks of a log, and nothing else of it."""
        found: list[str] = []
        inside = False
        for line in text.splitlines():
            if line.startswith(_BEGINS):
                inside = True
            if inside:
                found.append(line)
                inside = line.startswith((_BEGINS, " ", *_BETWEEN)) or not line
        return self.told("\n".join(found))

    def _error(self, line: str) -> str:
        found = _ERROR.fullmatch(line)
        if found is None:
            return self._words.told(line)
        name, message = found.groups()
        known = hasattr(builtins, name) or self._words.knows(name) or _CLASS.fullmatch(name)
        return f"{name if known else LEFT_OUT}{f': {self._words.told(message)}' if message else ''}"

    def _frame(self, file: str, number: str, function: str) -> str:
        path = Path(file)
        for root, name in self._roots.items():
            if path.is_relative_to(root):
                code = _text(path)
                if code is not None and (
                    function == "<module>" or function.rsplit(".", maxsplit=1)[-1].strip("<>") in code
                ):
                    inside = path.relative_to(root).as_posix()
                    return f'  File "{name}{"" if inside == "." else f"/{inside}"}", line {number}, in {function}'
        return f"  File {LEFT_OUT}"


def _roots(packages: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Yield the folders (or single files) of packages that may be named, the narrowest first."""
    for package in packages:
        name = package.replace("-", "_")
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            continue
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            origin = Path(spec.origin)
            yield (origin.parent if origin.name == "__init__.py" else origin), name
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    for part in sorted(path for path in stdlib.iterdir() if path.name not in ("site-packages", "dist-packages")):
        if part.is_dir() or part.suffix == ".py":
            yield part, f"python/{part.name}"


@functools.cache
def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
