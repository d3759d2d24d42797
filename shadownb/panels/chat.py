"""ChatPanel: talk to a model while or after it is trained, the base beside it on the same prompt and seed.

Each side keeps a conversation of its own, which starts as the model was trained (:mod:`._asked`) or with a row of its run
(:mod:`._tries`). Pieces go to the front end at most ten times a second as the ``delta`` trait;
``turns`` always holds the whole, so a reload in the middle of an answer loses nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets as t

from shadownb.errors import ModelError

from . import _choices
from ._answering import Answering
from ._answers import DEFAULTS, SIDES, can_compare, checked, describe, is_training, loadable_name, side_of
from ._asked import asked_of, kept_system
from ._chat_code import chat_code
from ._chat_model import ChatModelPanel
from ._dialogue import Dialogue
from ._run_values import pickable
from ._tries import Shelf, Try, run_of


class ChatPanel(ChatModelPanel):
    """Chat with a model: streamed answers of base and tuned model side by side.

    Parameters
    ----------
    model
        A loaded model.
    run
        A run whose model answers; it is loaded from the newest checkpoint if it is not in memory.
    namespace
        A dict in which code finds what the model is called; None means the notebook's variables.

    Examples
    --------
    >>> panel = snb.ChatPanel(model)
    >>> panel.ask("Where is my parcel?")
    >>> panel.settle(), len(panel.turns)
    (True, 1)
    >>> panel.stop()
    >>> panel.refresh()
    >>> panel.model is model
    True
    >>> panel.close()
    """

    _bundle = "chat"
    _revived_by = ("model_state",)

    turns: t.List[dict[str, Any]] = t.List().tag(sync=True)
    delta = t.Dict().tag(sync=True)
    settings = t.Dict().tag(sync=True)
    asked = t.Dict(help="What stands before the next question, where it is from, what differs from the rows.").tag(
        sync=True
    )
    tries: t.Dict[str, Any] = t.Dict({"stage": "none"}, help="The row that can be tried next.").tag(sync=True)
    busy = t.Bool(False).tag(sync=True)
    runs: t.List[Any] = t.List(help="Runs whose model can answer instead.").tag(sync=True)
    code = t.Dict().tag(sync=True)

    def __init__(self, model: Any = None, run: Any = None, *, namespace: Mapping[str, Any] | None = None) -> None:
        self._namespace = namespace
        self._dialogue = Dialogue()
        self._shelf = Shelf()
        self._answering = Answering(self._dialogue, self._publish, self._show_piece)
        super().__init__(settings=dict(DEFAULTS))
        if model is not None:
            self.use(model)
        elif run is not None:
            self.use_run(run)

    # -- for Python ----------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """The model that answers, or None."""
        return self._model

    def _revival(self) -> str:
        return f'ChatPanel(snb.load("{loadable_name(self._model)}"))' if self._model is not None else super()._revival()

    def use(self, model: Any) -> None:
        """Let another model answer from now on; the conversation is kept.

        Examples
        --------
        >>> panel = snb.ChatPanel()
        >>> panel.use(model)
        >>> panel.settle(), panel.model is model
        (True, True)
        """
        if getattr(model, "has_base", True) is False:
            raise ModelError(
                f"The Chat panel cannot ask {model.name}: it shows base and tuned weights side by side.",
                fix="Ask it in a cell: %shadow chat VARIABLE MESSAGE, or VARIABLE.stream(...).",
            )
        self._model = model
        self.base_check = {"stage": "none"}
        self.refresh()

    def use_run(self, run: Any) -> None:
        """Load the model of a run in the background and let it answer.

        Examples
        --------
        >>> panel = snb.ChatPanel()
        >>> panel.use_run(run)
        >>> panel.settle(), panel.model.answering == f"step 40 of run {run.id}"
        (True, True)
        """
        self.model_state = {"stage": "loading", "name": run.id, "phase": f"Loading the model of run {run.id}"}
        self._worker.submit(lambda: self._load_run(run), key="load")

    def beside(self, run: Any, steps: Sequence[int]) -> None:
        """Let checkpoints of a run answer too, beside the tuned model and the base; of another base the run's model is loaded.

        Examples
        --------
        >>> panel = snb.ChatPanel(model)
        >>> panel.beside(run, [20])
        >>> panel.ask("Where is my parcel?")
        >>> panel.settle(), list(panel.turns[0]["sides"]) == ["tuned", "base", f"{run.id}@20"]
        (True, True)
        """
        if self._model is None or self._model.base_hash != run.folder.spec["model"].get("base_hash"):
            self.use_run(run)
        sides = [side_of(run.id, step) for step in steps]
        self._do_settings({"steps": [*(each for each in self.settings["steps"] if each not in sides), *sides]})

    def refresh(self) -> None:
        """Update the display of which step or checkpoint answers."""
        self.model_state = describe(self._model)
        self._say_how_asked()
        self._follow()

    def close(self) -> None:
        """Remove the panel from the page; a run continues."""
        self._unfollow()
        super().close()

    def ask(self, prompt: str) -> None:
        """Ask a prompt as if it had been typed; returns at once.

        Examples
        --------
        >>> panel = snb.ChatPanel(model)
        >>> panel.ask("I paid twice.")
        >>> panel.settle(), len(panel.turns)
        (True, 1)
        """
        self._do_send(prompt)

    def try_row(self, at: int = 0) -> None:
        """Ask evaluation row number ``at`` of the run, as its button does; returns at once.

        Examples
        --------
        >>> panel = snb.ChatPanel(run=run)
        >>> panel.settle()
        True
        >>> panel.try_row(1)
        >>> panel.settle(), len(panel.turns)
        (True, 1)
        """
        self._do_try_row(at)

    def stop(self) -> None:
        """Stop the answer that is being written; the part that exists is kept."""
        self._do_stop()

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until nothing is loaded or answered any more; False if that takes longer than ``timeout`` seconds."""
        return super().settle(timeout) and self._worker.wait(timeout)

    # -- commands of the front end: short, on any thread -----------------------------------------------------------

    def _do_send(self, prompt: str) -> None:
        if prompt.strip() and not self.busy:
            self._ask(prompt.strip())

    def _do_try_row(self, at: int) -> None:
        """Ask a row; it begins a conversation with its own system prompt and tools."""
        if not self.busy:
            row, words = self._shelf.take(at)
            self._ask(row.text, row, words)

    def _ask(self, text: str, row: Try | None = None, row_words: str = "") -> None:
        if self._model is None:
            raise ModelError(
                "There is no model to talk to.", fix='Load one in a cell: ChatPanel(shadownb.load("smollm2-135m")).'
            )
        seed = self.settings.get("seed")
        seed = secrets.randbelow(2**31) if seed is None else seed
        sides = (
            *(SIDES if self.settings["compare"] and can_compare(self._model) else SIDES[:1]),
            *self.settings["steps"],
        )
        turn = self._dialogue.add(text, seed, sides, alone=self.settings["alone"], row=row)
        turn |= {"untrained": not can_compare(self._model), "row": row_words}
        self.error = {}
        self._answering.stop.clear()
        self.busy = True
        self.turns = self._dialogue.turns
        self.refresh()
        self._worker.submit(lambda: self._answer(turn, dict(self.settings)))

    def _do_begin(self) -> None:
        """Let the next question begin a conversation; what was said stays on the page."""
        self._dialogue.begin()
        self._say_how_asked()

    def _do_show_row(self, at: int) -> None:
        """Show another row that can be tried."""
        self.tries = self._shelf.show(at)

    def _do_stop(self) -> None:
        self._answering.stop.set()

    def _do_clear(self) -> None:
        self._answering.stop.set()
        self._worker.submit(self._forget)

    def _do_settings(self, values: dict[str, Any]) -> None:
        known = {name: value for name, value in values.items() if name in DEFAULTS}
        if "system" in known:
            known["system"] = kept_system(known["system"], self._model)
        self.settings = {**self.settings, **checked(known)}
        self._say_how_asked()

    def _do_look_for_runs(self) -> None:
        """List the runs whose model can answer instead."""
        self.runs = pickable(self.model_state.get("run", ""))

    def _do_show(self, run: str) -> None:
        """Let the model of another run answer."""
        from shadownb.engine import runs

        self.use_run(runs.load(run))

    def _do_refresh(self) -> None:
        self.refresh()

    # -- jobs of the worker thread -------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._dialogue.forget()
        self.turns = []
        self.error = {}
        self._say_how_asked()

    def _answer(self, turn: dict[str, Any], settings: dict[str, Any]) -> None:
        try:
            for name, side in turn["sides"].items():
                if self._answering.stop.is_set():
                    side.update(status="stopped", note="before it began")
                else:
                    self._answering.side(self._model, turn, name, settings)
        finally:
            self.busy = False
            self._publish()
            self._describe_again()  # asking takes over what a worker process has trained since
        # Comparing every weight takes as long as loading them; not while a run needs the machine.
        if "base" in turn["sides"] and self.base_check["stage"] == "none" and not is_training(self._model):
            self._check_base()

    # -- helpers -------------------------------------------------------------------------------------------------

    def _say_how_asked(self) -> None:
        """Show what stands before the next question, as code too, and look for rows to try."""
        self.asked = asked_of(self._model, self.settings, self._dialogue.earlier(alone=self.settings["alone"]))
        names = self._namespace if self._namespace is not None else _choices.user_namespace()
        self.code = chat_code(self._model, self._dialogue, self.settings, names)
        run_id = run_of(self._model) if self._model is not None else None
        if run_id != self._shelf.run:
            self._shelf.run = run_id
            self._worker.submit(self._find_rows, key="rows", later=True)

    def _find_rows(self) -> None:
        self.tries = self._shelf.fill()

    def _publish(self) -> None:
        """Send the whole conversation; its dicts are changed in place, which traitlets can't see."""
        self.send_state("turns")

    def _show_piece(self, piece: dict[str, Any]) -> None:
        self.delta = piece
