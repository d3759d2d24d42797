"""The first part of the Train panel: what is trained on, how its columns are read, what is evaluated on."""

from __future__ import annotations

from typing import Any

from shadownb.errors import DataError

from . import _choices
from ._base import as_card
from ._selection import LARGEST_SHARE, SMALLEST_SHARE
from ._train_form import NOTHING, TrainForm


class DataPart(TrainForm):
    """Commands of the page about data, and what the worker brings of it."""

    def _do_choose_data(self, choice: str = "") -> None:
        """Open data; an empty choice takes it away."""
        self._chosen.data, self._chosen.data_id, self._opened = None, choice, None
        self._chosen.columns, self._chosen.ignore = {}, ()
        self._heavy.cancel("inspect")
        self.write(data_state={"stage": "loading", "choice": choice} if choice else NOTHING, inspection=NOTHING)
        self._settle_form()
        if choice:
            names = self._names()
            self._heavy.submit(
                "data",
                lambda: _with_description(_choices.open_data(choice, names, self._given_data)),
                self._data_ready,
                lambda error: self.write(data_state=_failed(choice, error)),
            )
        else:
            self._heavy.cancel("data")

    def _do_map_column(self, column: str, target: str = "") -> None:
        """Read a column of the chosen data as a known one; "ignore" leaves it out, "" goes by its own name."""
        opened, chosen = self._opened, self._chosen
        if opened is None:
            return
        chosen.map_column(column, target)
        chosen.data = None
        self._heavy.cancel("inspect")
        self.write(data_state={**self.data_state, "stage": "loading"}, inspection=NOTHING)
        self._settle_form()
        reading = chosen.reading
        self._heavy.submit(
            "data",
            lambda: _with_description(opened.read_as(**reading)),
            self._data_ready,
            lambda error: self.write(
                data_state={**_choices.describe_reading(opened), **_failed(chosen.data_id, error)}
            ),
        )
        if chosen.eval_kind == "data" and chosen.eval_id:
            self._do_choose_eval("data", choice=chosen.eval_id)

    def _do_choose_eval(self, how: str, share: float | None = None, choice: str = "") -> None:
        """Choose what is evaluated on: "none", "auto", a "share" of the rows or other "data"."""
        chosen = self._chosen
        chosen.eval_kind, chosen.eval_data, chosen.eval_id = how, None, choice
        self._heavy.cancel("eval")
        state: dict[str, Any] = {"kind": how, "choice": choice}
        if how == "share":
            chosen.eval_share = min(LARGEST_SHARE, max(SMALLEST_SHARE, float(share or chosen.eval_share)))
            state["share"] = chosen.eval_share
        elif how == "data" and choice:
            names, reading = self._names(), chosen.reading
            state["stage"] = "loading"

            def open_alike() -> Any:
                data = _choices.open_data(choice, names, self._given_data)
                return data.read_like(**reading) if any(reading.values()) else data

            self._heavy.submit(
                "eval",
                open_alike,
                self._eval_ready,
                lambda error: self.write(eval_state={"kind": how, **_failed(choice, error)}),
            )
        self.write(eval_state=state)
        self._settle_form()

    def _data_ready(self, found: tuple[Any, dict[str, Any]]) -> None:
        data, state = found
        choice = self._chosen.data_id
        usable = "error" not in state
        if self._opened is None:
            self._opened = data
            self._chosen.columns, self._chosen.ignore = dict(data.reading.columns), tuple(data.reading.ignore)
        self._chosen.data = data if usable else None
        self.write(data_state={**state, "stage": "ready" if usable else "failed", "choice": choice})
        if choice.startswith("file:") and choice.removeprefix("file:") not in self._files:
            self._files = (*self._files, choice.removeprefix("file:"))
            self._do_refresh()
        self._settle_form()

    def _eval_ready(self, data: Any) -> None:
        self._chosen.eval_data = data
        self.write(eval_state={"kind": "data", "choice": self._chosen.eval_id, "stage": "ready", "rows": len(data)})
        self._settle_form()


def _failed(choice: str, error: Exception) -> dict[str, Any]:
    return {"stage": "failed", "choice": choice, "error": as_card(error)}


def _with_description(data: Any) -> tuple[Any, dict[str, Any]]:
    """Return data with what is shown of it; where no row can be used, with the error and the columns to map."""
    try:
        return data, _choices.describe_data(data)
    except DataError as error:
        return data, {**_choices.describe_reading(data), "error": as_card(error)}
