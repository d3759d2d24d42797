"""The list of all models in the Train panel: fetched ahead, deleted, unloaded, pinned; room in memory; signing in to the hub."""

from __future__ import annotations

from typing import Any

import traitlets as t

from shadownb.engine.hub.account import sign_in, sign_out
from shadownb.engine.hub.download import Download
from shadownb.engine.models.ahead import begin, fetching
from shadownb.engine.models.shelf import forget

from . import _machine, _shelf
from ._stores import loaded_models
from ._train_form import TrainForm

_LOOK_SECONDS = 0.5


class ShelfPart(TrainForm):
    """Commands of the page about models in general."""

    fetching: t.List[dict[str, Any]] = t.List(help="Models that are being fetched: id, words, share.").tag(sync=True)
    room = t.Dict(help="What memory is short of for the chosen model, and what could be unloaded; or empty.").tag(
        sync=True
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.on_msg(self._on_private)
        for download in fetching():  # begun in another panel or a cell
            self._follow_download(download)

    def _do_look_at_models(self) -> None:
        """Look at what there is to choose from: what fits, what lies on the disk, what is in memory."""
        names = self._names()
        self._heavy.submit("shelf", lambda: _shelf.shelf(names), lambda found: self.write(shelf=found), self.show_error)

    # -- the disk ------------------------------------------------------------------------------------------------

    def _do_fetch_model(self, name: str) -> None:
        """Fetch a model ahead, in a process of its own."""
        self._follow_download(begin(name))

    def _do_stop_fetching(self, hub_id: str) -> None:
        """Stop fetching a model; files that are whole stay."""
        for download in fetching():
            if download.hub_id == hub_id:
                self._ticks.submit(download.stop)  # not behind a model that is being loaded

    def _follow_download(self, download: Download) -> None:
        def look() -> None:
            self.write(fetching=[_shelf.as_row(each) for each in fetching()])
            if not download.has_ended():
                self._ticks.submit(later)

        def later() -> None:
            download.has_ended(_LOOK_SECONDS)
            self._writer.submit(look, key=f"fetching {download.hub_id}")

        look()
        download.on_end(lambda _: self._writer.submit(lambda: self._fetched(download)))

    def _fetched(self, download: Download) -> None:
        self.write(fetching=[_shelf.as_row(each) for each in fetching()])
        if download.error is not None:
            self.show_error(download.error)
        self._do_refresh()
        self._do_look_at_models()

    def _do_forget_model(self, hub_id: str) -> None:
        """Delete a model from the hub's cache."""
        sources = [model.source for _, model in loaded_models(self._names()).values() if model.is_loaded]
        self._heavy.submit(
            "forget", lambda: forget(hub_id, sources), lambda _: self._do_look_at_models(), self.show_error
        )

    # -- memory --------------------------------------------------------------------------------------------------

    def _do_unload_model(self, choice: str) -> None:
        """Take a model out of memory; one that a run trains is refused."""
        model = _machine.loaded_model(choice, self._names(), self._given_model)
        model.unload()
        if model is self._chosen.model:
            self._do_choose_model("")
        self._do_refresh()
        self._do_look_at_models()
        self._look_for_room()

    def _do_pin_model(self, choice: str, pinned: bool) -> None:
        """Keep a model from being offered for unloading, or no more."""
        _machine.loaded_model(choice, self._names(), self._given_model).pinned = bool(pinned)
        self._do_look_at_models()
        self._look_for_room()

    def _do_choose_model(self, choice: str = "") -> None:
        raise NotImplementedError

    def _look_for_room(self) -> None:
        """Say before the model that waits to be loaded whether memory has room for it."""
        kind, _, name = self._chosen.model_id.partition(":")
        if kind not in ("alias", "path") or self.model_state["stage"] not in ("chosen", "failed"):
            self._heavy.cancel("room")
            self.write(room={})
            return
        names, options = self._names(), dict(self._chosen.load_options)
        self._heavy.submit(
            "room",
            lambda: _shelf.room(name, options, names),
            lambda found: self.write(room=found),
            lambda _: self.write(room={}),  # what is wrong with the name is said when it is loaded
        )

    # -- the hub -------------------------------------------------------------------------------------------------

    def _on_private(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Take a token, which comes as a message of its own: what stands in a trait is saved with the notebook."""
        if content.get("kind") == "sign_in":
            token = str(content.get("token", ""))
            self._heavy.submit("account", lambda: sign_in(token), self._signed_in, self.show_error)

    def _signed_in(self, _: str) -> None:
        self.write(error={})  # mostly that of the model that needed it
        self._do_look_at_models()

    def _do_sign_out(self) -> None:
        """Delete the token that the hub's client keeps."""
        self._heavy.submit("account", sign_out, lambda _: self._do_look_at_models(), self.show_error)
