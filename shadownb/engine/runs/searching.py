"""Finding runs by what stands in their row: words, ``method:dpo``, ``loss<0.5``, ``tag:baseline``, ``-status:failed``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from shadownb.engine.runs.columns import Row
from shadownb.errors import ConfigError, did_you_mean

Test = Callable[[Row], bool]

_PART = re.compile(
    r'(?P<no>-)?(?:(?P<key>[A-Za-z][\w.]*)(?P<how><=|>=|!=|[:=<>]))?(?:"(?P<quoted>[^"]*)"|(?P<plain>\S+))'
)
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_WHICH = {"": 0, "last": 0, "min": 1, "max": 2}  # of a metric
MARKS = ("tag", "note", "pinned", "archived")
_TEXTS = ("id", "status", "method", "model", "data", "eval_data", "started_from")


def value_of(row: Row, key: str) -> Any:
    """Return what stands in a column, or None: of the summary, an option, a metric (``loss.min``, ``loss.max``), a mark."""
    if key in MARKS:
        return row["marks"]["tags" if key == "tag" else key]
    if key in row and key not in ("options", "metrics", "marks"):
        return row[key]  # None, too: the last finite loss of a run that diverged is not its loss
    if key in row["options"]:
        return row["options"][key]
    name, _, which = key.rpartition(".") if key.endswith((".last", ".min", ".max")) else (key, "", "")
    found = row["metrics"].get(name)
    return None if found is None else found[_WHICH[which]]


def keys_of(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Return the columns that some run has, by kind: ``summary``, ``options``, ``metrics``."""
    found: dict[str, dict[str, None]] = {"summary": {}, "options": {}, "metrics": {}}
    for row in rows:
        found["summary"].update(dict.fromkeys(key for key in row if key not in ("options", "metrics", "marks")))
        found["options"].update(dict.fromkeys(row["options"]))
        found["metrics"].update(dict.fromkeys(row["metrics"]))
    return {kind: list(names) if kind == "summary" else sorted(names) for kind, names in found.items()}


def parsed(query: str, known: Callable[[], dict[str, list[str]]]) -> Test:
    """Return whether a row is asked for by a query; all its parts have to hold.

    Parameters
    ----------
    query
        Words, each to stand somewhere in id, status, method, model, data, tags or note; and conditions on columns,
        ``key:text`` (contains), ``key=value`` and ``key!=value``, ``key<number`` and the like. A ``-`` before one turns it round,
        quotes keep words together.
    known
        Gives the columns that there are, as :func:`keys_of` does; called where the query has a condition.

    Raises
    ------
    ConfigError
        No run has the column, or what is compared is no number.
    """
    tests: list[Test] = []
    for part in _PART.finditer(query):
        text = part["quoted"] if part["quoted"] is not None else part["plain"]
        test = _has_word(text) if part["key"] is None else _holds(_known(part["key"], known()), part["how"], text)
        tests.append(_not(test) if part["no"] else test)
    return lambda row: all(test(row) for test in tests)


def _known(key: str, known: dict[str, list[str]]) -> str:
    names = [*MARKS, *known["summary"], *known["options"], *known["metrics"]]
    plain = key.rpartition(".")[0] if key.endswith((".last", ".min", ".max")) else key
    if plain not in names and names != list(MARKS):  # of no runs at all nothing is known
        raise ConfigError(
            f"No run has a column {plain!r}.{did_you_mean(plain, names)}",
            fix='Words that are to be found as they are stand in quotes: "a:b".',
        )
    return key


def _has_word(word: str) -> Test:
    wanted = word.casefold()

    def test(row: Row) -> bool:
        texts = [str(row.get(name) or "") for name in _TEXTS] + [*row["marks"]["tags"], row["marks"]["note"]]
        return any(wanted in text.casefold() for text in texts)

    return test


def _holds(key: str, how: str, text: str) -> Test:
    if how in _COMPARED:
        try:
            limit = float(text)
        except ValueError:
            raise ConfigError(f"{key}{how}{text}: {text!r} is no number.", fix=f"Such as {key}{how}0.5.") from None
        compare = _COMPARED[how]

        def compares(row: Row) -> bool:
            found = value_of(row, key)
            return isinstance(found, int | float) and not isinstance(found, bool) and compare(found, limit)

        return compares
    if how == ":":
        return lambda row: any(text.casefold() in each.casefold() for each in _texts(value_of(row, key)))
    equal: Test = lambda row: any(_same(each, text) for each in _texts(value_of(row, key)))  # noqa: E731
    return equal if how == "=" else _not(equal)


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


def _same(found: str, wanted: str) -> bool:
    if found.casefold() == wanted.casefold():
        return True
    try:
        return float(found) == float(wanted)  # 5e-4 and 0.0005
    except ValueError:
        return False


def _not(test: Test) -> Test:
    return lambda row: not test(row)
