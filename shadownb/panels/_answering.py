"""How a Chat panel's sides are answered: one after the other, in pieces, until somebody stops it. No widget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from shadownb.engine.loaded import as_trained

from ._answers import SIDES, badge_of, step_of, template_options, utf16_length, waits_for_steps
from ._asked import Opening
from ._base import as_card
from ._dialogue import Dialogue

_FLUSH_SECONDS = 0.1


class Answering:
    """Answers turns of a dialogue, whose dicts it changes in place.

    Parameters
    ----------
    publish
        Shows the whole dialogue.
    send
        Shows a piece that came to an answer: its turn, side and field, where it begins, and its text.

    Attributes
    ----------
    stop
        Set where nobody waits for the rest.
    """

    def __init__(self, dialogue: Dialogue, publish: Callable[[], None], send: Callable[[dict[str, Any]], None]) -> None:
        self._dialogue, self._publish, self._send = dialogue, publish, send
        self.stop = threading.Event()

    def side(self, model: Any, turn: dict[str, Any], name: str, settings: dict[str, Any]) -> None:
        """Have a model give one side's answer to a turn; a failure is shown where the answer would be."""
        side = turn["sides"][name]
        side["status"] = "waiting"
        side["note"] = "waiting for the training step to end" if waits_for_steps(model) else ""
        self._publish()
        began = time.perf_counter()
        try:
            model.catch_up()
            question = self._dialogue.question(turn, name, Opening.of(model, settings))
            # Plain text has no place where a template could be told anything.
            told = template_options(model, settings) if question.get("template") is not False else {}
            with as_trained.quietly():  # the page shows what differs
                stream = model.stream(
                    question.pop("prompt"),
                    **question,
                    max_new_tokens=settings["max_new_tokens"],
                    temperature=settings["temperature"],
                    top_p=settings["top_p"],
                    stop=settings["stop"] or None,
                    seed=turn["seed"],
                    use=_weights(name),
                    should_stop=self.stop.is_set,
                    **told,
                )
            self._copy(model, stream, turn["id"], name, side)
        except Exception as error:
            side.update(status="failed", error=as_card(error))
        else:
            side["status"] = "stopped" if self.stop.is_set() else "done"
        side.update(
            note="", seconds=round(time.perf_counter() - began, 2), badge=side["badge"] or badge_of(model, name)
        )
        self._publish()

    def _copy(self, model: Any, stream: Any, turn_id: int, name: str, side: dict[str, Any]) -> None:
        """Take the pieces of an answer over and pass them on in batches."""
        pending, last = {"text": "", "reasoning": ""}, 0.0
        for part in stream.parts():
            if side["status"] != "streaming":
                side.update(status="streaming", note="", badge=badge_of(model, name))
                self._publish()
            side["tokens"] += 1
            # What a model writes as a call is shown as it wrote it: nobody runs the tools here.
            pending["reasoning" if part.kind == "reasoning" else "text"] += part.text
            if time.perf_counter() - last >= _FLUSH_SECONDS:
                self._flush(turn_id, name, side, pending)
                last = time.perf_counter()
        self._flush(turn_id, name, side, pending)
        if stream.completion is not None:
            side.update(tokens=stream.completion.completion_tokens, finish=stream.completion.finish_reason)

    def _flush(self, turn_id: int, name: str, side: dict[str, Any], pending: dict[str, str]) -> None:
        for field, text in pending.items():
            if text:
                delta = {"turn": turn_id, "side": name, "field": field, "at": utf16_length(side[field]), "text": text}
                side[field] += text
                pending[field] = ""
                self._send({**delta, "status": side["status"], "tokens": side["tokens"]})


def _weights(side: str) -> Any:
    """Return what a side's answer is asked of."""
    if side in SIDES:
        return side
    from shadownb.engine import runs

    run, step = step_of(side)
    return runs.load(run).checkpoint_at(step)
