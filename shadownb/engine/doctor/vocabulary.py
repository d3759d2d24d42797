"""What ShadowNB itself says, read from its own source: whatever else stands in a text may be somebody's, and is left out.

A list of what to take out would never be whole. So a text is kept where it stands in the source, and of a text that was put
together there (an f-string) the parts that stand in the source, with what was put in judged in the same way:
``dataset: none of its 3 rows can be used`` keeps its words, ``There is no run 'my-secret-project'`` becomes
``There is no run <left out>``.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

LEFT_OUT = "<left out>"
_LEAST = 10  # characters that stand in the source, for a text to be taken for one of ours
_DEEPEST = 4  # texts in texts
_LONGEST = 20_000  # characters that are looked at
# Counts, sizes, times and shares; a card or a telephone has more digits, and so has most of what is secret.
_NUMBER = re.compile(
    r"[-+]?\d{1,3}(?:,?\d{3})?(?:\.\d{1,4})?(?:e[-+]?\d{1,2})?(?: ?(?:[kMG]?B|s|%|MiB|GiB|bytes|rows|steps))?"
)

Template = tuple[str, ...]  # what stands before, between and behind the things that are put in


class Vocabulary:
    """Words and texts of a source; :func:`ours` is that of this package."""

    def __init__(self, sources: Iterable[str], words: Iterable[str] = ()) -> None:
        self.words: set[str] = set(words)
        templates: set[Template] = set()
        for source in sources:
            for node in ast.walk(ast.parse(source)):
                self.words.update(_names(node))
                if isinstance(node, ast.JoinedStr) and (template := _template(node)):
                    templates.add(template)
        self._templates = sorted(templates, key=_weight, reverse=True)
        self.told = functools.lru_cache(maxsize=4096)(self._told)

    def knows(self, text: str) -> bool:
        """Return whether a text stands in the source as it is."""
        return text in self.words

    def names_weights(self, text: str) -> bool:
        """Return whether a text names a tensor of a public architecture: ``model.layers.0.mlp.down_proj.weight``."""
        *parts, last = text.split(".")
        named = all(self.knows(part) or re.fullmatch(r"\d{1,3}", part) for part in parts)
        return len(parts) > 1 and named and last in ("weight", "bias")

    def _told(self, text: str) -> str:
        """Return a text with everything left out that does not stand in the source."""
        if len(text) > _LONGEST:
            return LEFT_OUT
        return "\n".join(self._line(line, _DEEPEST) for line in text.split("\n"))

    def _line(self, text: str, depth: int) -> str:
        bare = text.strip()
        if not bare or self.knows(bare) or self.knows(text) or _NUMBER.fullmatch(bare):
            return text
        found = self._fitted(text, depth) if depth else None
        if found is not None:
            return found
        if all(map(self.knows, re.split(r", | or | and ", bare.replace("'", "")))):  # a list of options and the like
            return text
        return text if self.names_weights(bare.strip("'\"`")) else LEFT_OUT

    def _fitted(self, text: str, depth: int) -> str | None:
        """Return a text as the first template that it fits has it, those with the most words first."""
        for template in self._templates:
            put_in = _between(template, text)
            if put_in is not None:
                filled = [self._line(part, depth - 1) for part in put_in]
                return "".join(a + b for a, b in zip(template, [*filled, ""], strict=True))
        return None


@functools.cache
def ours() -> Vocabulary:
    """Return the vocabulary of this package (about two seconds, once a process), with the names of public architectures."""
    package = Path(__file__).resolve().parents[2]
    sources = (path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py")))
    return Vocabulary(sources, _architectures())


def _architectures() -> list[str]:
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent / "models"
    return [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
            yield from text.splitlines()
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.FunctionDef(name=name):
            yield name
        case ast.ClassDef(name=name) | ast.alias(name=name):
            yield name
        case ast.keyword(arg=str(name)):
            yield name
        case _:
            return


def _template(node: ast.JoinedStr) -> Template | None:
    parts = [""]
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts[-1] += str(value.value)
        else:
            parts.append("")
    return tuple(parts) if _weight(tuple(parts)) >= _LEAST else None


def _weight(template: Template) -> int:
    """Return how many letters of a template stand in the source; blanks and marks alone say nothing."""
    return sum(len(re.sub(r"\W", "", part)) for part in template)


def _between(template: Template, text: str) -> list[str] | None:
    """Return what was put into a template to give a text, or None where it does not fit."""
    first, *middle, last = template if len(template) > 1 else (*template, "")
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return None
    end = len(text) - len(last)
    found, at = [], len(first)
    for part in middle:
        place = text.find(part, at, end) if part else at
        if place < 0:
            return None
        found.append(text[at:place])
        at = place + len(part)
    found.append(text[at:end])
    return found
