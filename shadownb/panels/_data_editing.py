"""The second part of the Data panel: rows that are looked at, changed, taken out, and split. Each change is a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shadownb.engine.data.leakage import leakage
from shadownb.engine.data.matching import Match
from shadownb.engine.jsontext import parse
from shadownb.errors import ConfigError, DataError

from . import _code, _data_view
from ._data_state import DataState
from ._data_steps import HELD_OUT, TRAIN, WHOLE, Step, called, variable
from ._stores import counted

_SPLITS = ("random", "group", "time")


class EditingPart(DataState):
    """Commands of the page about rows."""

    # -- looking -----------------------------------------------------------------------------------------------------

    def _do_show(self, part: str) -> None:
        """Show the rows of one part."""
        self._history.part(part)
        self._shown, self._begin = part, 0
        self.write(row={})
        self._look()
        self._count_tokens()

    def _do_turn(self, begin: int) -> None:
        """Show the page that begins about there."""
        self._begin = int(begin)
        self._look()

    def _do_find(
        self,
        text: str = "",
        role: str = "",
        min_characters: Any = None,
        max_characters: Any = None,
        min_tokens: Any = None,
        max_tokens: Any = None,
    ) -> None:
        """Show only rows that have all this; without anything, all rows."""
        tokens = (_number("min_tokens", min_tokens), _number("max_tokens", max_tokens))
        if tokens != (None, None) and self._model is None:
            raise ConfigError(
                "Tokens are those of a model, and none is chosen.", fix="Choose a model below the rows first."
            )
        low, high = _number("min_characters", min_characters), _number("max_characters", max_characters)
        self._query, self._tokens_asked, self._begin = Match(text, role, low, high), tokens, 0
        self._look()

    # -- changing ----------------------------------------------------------------------------------------------------

    def _do_keep_found(self, inverse: bool = False) -> None:
        """Keep only the rows that were found, or with ``inverse`` take them out."""
        part, data = self._shown, self._history.part(self._shown)
        query, tokens, model = self._query, self._tokens_asked, self._model
        lengths = {
            name: value for name, value in zip(("min_tokens", "max_tokens"), tokens, strict=True) if value is not None
        }
        asked = {**query.given, **lengths}
        if not asked:
            raise ConfigError("Nothing is looked for, so all rows are found.", fix="Look for something first.")
        words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asked.items())
        code = called("filter", **asked, **({"inverse": True} if inverse else {}))
        if lengths:
            code = code.replace("(", f"(model={self._model_code()}, ", 1)

        def make() -> Step:
            with_model = {"model": model, **lengths} if lengths else {}
            made = data.filter(**query.given, **with_model, inverse=inverse)
            return self._history.change(part, f"{'Taken out' if inverse else 'Kept'}: {words}", code, made)

        self._step("Filtering", make, all_rows=True)

    def _do_remove(self, rows: Sequence[int]) -> None:
        """Take rows out by their positions."""
        part, data, gone = self._shown, self._history.part(self._shown), sorted({int(row) for row in rows})
        title = (
            f"Taken out: {'row' if len(gone) == 1 else 'rows'} {', '.join(str(data.numbers[row]) for row in gone[:8])}"
        )
        self._step(
            "Taking rows out",
            lambda: self._history.change(
                part, title + (" ..." if len(gone) > 8 else ""), f".drop({_code.literal(gone)})", data.drop(gone)
            ),
        )

    def _do_leave_unusable(self) -> None:
        """Take out the rows that cannot be used."""
        history = self._history

        def make() -> Step | str:
            if all(data.report.valid == len(data) for data in history.parts.values()):
                return "All rows can be used."
            return history.each("Taken out: rows that can't be used", ".usable()", lambda data: data.usable())

        self._step("Taking rows out", make)

    def _do_dedupe(self, near: Any = None) -> None:
        """Take out rows that repeat an earlier one, word for word or with so much in common."""
        part, data = self._shown, self._history.part(self._shown)
        try:
            share = float(near) if near not in (None, "") else None
        except (TypeError, ValueError):
            raise ConfigError(
                f"near={near!r} is no share.", fix="Give a number above 0, at most 1, such as 0.8."
            ) from None
        alike = "word for word" if share is None else f"from {share:.0%} alike on"

        def make() -> Step | str:
            made = data.dedupe(share)
            if len(made) == len(data):
                return f"No row repeats an earlier one, {alike}."
            return self._history.change(
                part, f"Repeated rows taken out, {alike}", called("dedupe", **({"near": share} if share else {})), made
            )

        self._step("Looking for repeated rows", make)

    # -- one row -----------------------------------------------------------------------------------------------------

    def _do_edit(self, index: int) -> None:
        """Open a row to change it."""
        data = self._history.part(self._shown)
        if not 0 <= index < len(data):
            raise DataError(f"There is no row at position {index}.", fix="Look at the rows again.")
        self.write(row=_data_view.editable(data, self._shown, index))

    def _do_shut_row(self) -> None:
        """Leave the open row as it is."""
        self.write(row={})

    def _do_save_row(self, json: str = "", texts: Sequence[Any] = ()) -> None:
        """Put the open row's new texts, or its new JSON, in its place."""
        if not self.row:
            raise DataError("No row is open.", fix="Choose Edit beside a row.")
        part, index = self.row["part"], self.row["index"]
        data = self._history.part(part)
        if json:
            try:
                made = parse(json, unique=True)
            except (ValueError, RecursionError) as error:
                raise DataError(f"The row is not valid JSON: {error}", fix="Correct it at that place.") from None
        else:
            made = _data_view.with_texts(data.rows[index], [(path, str(text)) for path, text in texts])
        if made == data.rows[index]:
            self.write(row={}, told="The row is as it was.")
            return
        title = f"Row {data.numbers[index]} changed"
        code = f".with_row({index}, {_changes(part, index, data.rows[index], made)})"
        self._step("Changing the row", lambda: self._history.change(part, title, code, data.with_row(index, made)))

    # -- split -------------------------------------------------------------------------------------------------------

    def _do_split(self, how: str = "random", share: Any = 0.1, column: str = "", seed: Any = 0) -> None:
        """Hold rows out: at random, by a column whose values stay on one side, or the latest by a column of times."""
        history = self._history
        if history.is_split:
            raise ConfigError("The rows are split already.", fix="Undo that step, then split again.")
        if how not in _SPLITS:
            raise ConfigError(f"how={how!r} is no way to split.", fix=f"Use one of {', '.join(_SPLITS)}.")
        if how != "random" and not column:
            raise ConfigError(f"A split by {how} needs a column.", fix="Choose the column.")
        data, size = history.part(WHOLE), _share(share)
        options: dict[str, Any] = {"seed": _number("seed", seed) or 0} if how != "time" else {}
        options |= {how: column} if how != "random" else {}
        words = {"random": "at random", "group": f"by {column}", "time": f"latest by {column}"}[how]

        def make() -> Step:
            usable = data.usable()
            train, held_out = usable.split(size, **options)
            only = "" if usable is data else ".usable()"
            said = "".join(f", {name}={_code.literal(value)}" for name, value in options.items())
            code = f"{variable(TRAIN)}, {variable(HELD_OUT)} = {variable(WHOLE)}{only}.split({size}{said})"
            return Step(f"Split, {words}", code, {TRAIN: train, HELD_OUT: held_out})

        self._step("Splitting", make)

    def _do_leave_leaks(self) -> None:
        """Take held-out rows out that are among those to train on, too."""
        train, held_out = self._history.part(TRAIN), self._history.part(HELD_OUT)

        def make() -> Step | str:
            found = leakage(train, held_out)
            if found.ok:
                return found.summary()
            usable = held_out.usable()
            only = "" if usable is held_out else ".usable()"
            code = f"{only}.drop(shadownb.leakage({variable(TRAIN)}, {variable(HELD_OUT)}).leaked)"
            title = f"{counted(len(found.rows), 'row')} taken out that training sees"
            return self._history.change(HELD_OUT, title, code, usable.drop(found.leaked))

        self._step("Comparing", make)

    def _model_code(self) -> str:
        kind, _, name = self.model.partition(":")
        return name if kind == "var" else "model"


def _changes(part: str, index: int, row: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    """Return a changed row as code: what changed on top of the row, which may hold what code can't say, such as times."""
    if not set(row) <= set(made):
        return _code.literal(made)
    changed = {name: value for name, value in made.items() if name not in row or row[name] != value}
    return f"{{**{variable(part)}.rows[{index}], {_code.literal(changed)[1:]}"


def _number(name: str, value: Any) -> int | None:
    """Return what was typed as a whole number; None for nothing."""
    if value is None or value == "":
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{name}={value!r} is no whole number.", fix="Type digits, or nothing.") from None


def _share(value: Any) -> float | int:
    """Return what was typed as a share below 1, or as a number of rows."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ConfigError(
            f"test_size={value!r} is no number.", fix="Type a share such as 0.1, or a number of rows."
        ) from None
    return int(number) if number >= 1 and number == int(number) else number
