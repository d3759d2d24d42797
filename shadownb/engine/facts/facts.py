"""Facts: the verbs of ``model.facts``, over training, the memory that it leaves, and asking."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shadownb.engine.facts.edits import Edit, FactTest, Table
from shadownb.engine.facts.keeping import Kept
from shadownb.engine.facts.owner import Owner
from shadownb.engine.facts.reading import read
from shadownb.engine.ports.facts import METHODS, FactMemory
from shadownb.engine.routing import Candidate, Route, Unit
from shadownb.engine.routing.router import THRESHOLD
from shadownb.engine.routing.units import Fact
from shadownb.engine.routing.words import asks
from shadownb.errors import BusyError, DataError, MethodError, RunError, did_you_mean

DEFAULT = "more_plus"
# Other wordings than those that are trained (routing/wordings.py).
_PARAPHRASES = ("Quick question: {}", "{} I forgot.", "Can you help me? {}")
_UNRELATED = ("Write one sentence about the sea.", "What is two plus two?", "How do I make tea?")
_ASKING: dict[str, Any] = {"max_new_tokens": 64, "temperature": 0.0}


class Facts:
    """What a model knows by heart. Each fact is learned, changed and taken away alone; the base is never changed."""

    def __init__(self, model: Owner) -> None:
        self._model = model
        self._kept = Kept()
        self._before: list[Any] = []  # what was stored before each edit of this session

    # -- looking ----------------------------------------------------------------------------------------------------

    @property
    def _memory(self) -> FactMemory | None:
        self._model.require_loaded()
        self._model.catch_up()
        kind = self._model.adapter_kind
        if kind is None:
            return None
        if kind not in METHODS:
            raise MethodError(
                f"This model carries {kind}, which has no facts.",
                why="A model carries one trained state.",
                fix="Load a fresh model, or save this one with model.save(path, fmt='merged') and load that folder.",
            )
        found: FactMemory = self._model.adapter
        return found

    def _units(self) -> Sequence[Unit]:
        memory = self._memory
        return list(memory.units) if memory is not None else []

    def list(self) -> Table:
        """Return all facts, in the order in which they were learned."""
        return Table(tuple(fact for unit in self._units() for fact in unit.facts))

    def __len__(self) -> int:
        return len(self.list())

    def __repr__(self) -> str:
        return f"Facts({len(self)} of {self._model.name!r})"

    def _repr_html_(self) -> str:
        return self.list()._repr_html_()

    def route(self, question: str) -> Route:
        """Return which fact answers a question and why, or why none does."""
        memory = self._memory
        return memory.route(question) if memory is not None else Route(question, (), (), THRESHOLD)

    def search(self, text: str, most: int = 5) -> Sequence[Candidate]:
        """Return the facts that come nearest to a text, with what speaks for and against each."""
        return self.route(text).candidates[:most]

    def test(self, which: str | Fact | None = None) -> Sequence[FactTest]:
        """Ask for a fact, or for all, in its own words and in three others; nothing is trained."""
        return self._tested(self.list() if which is None else [self._find(which)])

    @property
    def undoable(self) -> bool:
        """Whether there is an edit of this session for :meth:`undo`."""
        return bool(self._before)

    @property
    def history(self) -> Sequence[Edit]:
        """What was done, oldest first; saved with the model."""
        memory = self._memory
        return [Edit.from_dict(each) for each in memory.log] if memory is not None else []

    # -- changing ---------------------------------------------------------------------------------------------------

    def add(
        self, facts: Any, answer: str | None = None, *, source: str = "", test: bool = True, **options: Any
    ) -> Edit:
        """Learn facts; one with a stored question replaces it.

        Parameters
        ----------
        facts
            A question, with ``answer``; or rows, a data frame, a Markdown table, sentences, or the path of a text with either.
        source
            Where they are from; it comes with the answers (``reply.sources``).
        test
            Whether each is asked for when it is learned, and three unrelated questions beside.
        **options
            Of the training: ``expert_steps``, ``learning_rate``, ``seed`` and so on; with the first facts of a model also
            ``method``: ``"more_plus"``, where each has an expert, or ``"more"``, where answers are read and adding trains nothing.

        Raises
        ------
        DataError
            A fact has no word to be found by or no answer, or is too long; then none is learned.
        RunError
            The training failed or was stopped; what is stored is as before.
        MethodError
            The model cannot carry facts, or carries something else.
        """
        return self._learn("add", read(facts, answer, source), test=test, options=options)

    def update(
        self, which: str | Fact, answer: str, *, source: str | None = None, test: bool = True, **options: Any
    ) -> Edit:
        """Give a stored fact another answer; it alone is learned anew. ``which`` is its question."""
        fact = self._find(which)
        new = read(fact.question, answer, fact.source if source is None else source)
        return self._learn("update", new, test=test, options=options)

    def remove(self, which: str | Fact) -> Edit:
        """Take a fact away; the model answers as if it had never been there, bit for bit."""
        fact = self._find(which)
        self._refuse_busy()
        memory = self._memory
        assert memory is not None
        self._before.append(memory.kept_state())
        with self._model.gate.training():
            memory.forget(fact.question)
        return self._noted(Edit("remove", (fact,), _now()), write=True)

    def undo(self) -> Edit:
        """Take back the last edit of this session.

        Raises
        ------
        DataError
            There was none.
        """
        if not self._before:
            raise DataError("There is no edit of this session to undo.", fix="model.facts.history lists all edits.")
        self._refuse_busy()
        memory = self._memory
        assert memory is not None
        there = set(self.list())
        with self._model.gate.training():
            memory.put_back(self._before.pop())
        changed = there ^ set(self.list())
        return self._noted(Edit("undo", tuple(sorted(changed, key=lambda f: f.question)), _now()), write=True)

    def export(self, path: str | Path) -> Path:
        """Write the table of facts, as CSV, JSON or Markdown by the name's ending; :meth:`add` reads it again."""
        path = Path(path).expanduser()
        rows = [{"question": f.question, "answer": f.answer, "source": f.source} for f in self.list()]
        if path.suffix == ".json":
            path.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
        elif path.suffix == ".csv":
            with open(path, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, ["question", "answer", "source"])
                writer.writeheader()
                writer.writerows(rows)
        elif path.suffix == ".md":
            head = ["| question | answer | source |", "| --- | --- | --- |"]
            cells = [
                "| " + " | ".join(each.replace("|", "\\|").replace("\n", "<br>") for each in row.values()) + " |"
                for row in rows
            ]
            path.write_text("\n".join([*head, *cells]) + "\n", encoding="utf-8")
        else:
            raise DataError(f"path={str(path)!r} ends in {path.suffix!r}.", fix="Use .csv, .json or .md.")
        return path

    # -- how --------------------------------------------------------------------------------------------------------

    def _learn(self, action: Any, facts: Sequence[Fact], *, test: bool, options: dict[str, Any]) -> Edit:
        self._refuse_busy()
        if not facts:
            raise DataError("There is no fact in what was given.", fix="Give at least one question with its answer.")
        memory = self._memory
        before = memory.kept_state() if memory is not None else None
        facts, contradicted, replaced = self._otherwise(facts)
        rows = [{"prompt": fact.question, "completion": fact.answer} for fact in facts]
        try:
            run = self._model.train(
                rows, background=False, start="trained" if memory is not None else "base",
                **{"sample_max_new_tokens": 0, **self._way(memory is not None, options)},
            )  # fmt: skip
            if run.status != "succeeded":
                raise RunError(
                    f"Run {run.id} was {run.status} at step {run.step}, before its facts were learned.",
                    why="Half-learned facts would be said wrong; what is stored is as before.",
                    fix=f"Do the edit again, or run.resume() what has begun: run = shadownb.runs.load({run.id!r}).",
                )
        except BaseException:
            self._put_back(before)
            raise
        memory = self._memory
        assert memory is not None
        with self._model.gate.training():
            for question in replaced:
                memory.forget(question)
            memory.cite({fact.question: fact.source for fact in facts if fact.source})
        self._before.append(before if before is not None else memory.nothing())
        # On the disk before it is tested: an interrupt while the model is asked takes nothing back.
        edit = self._noted(Edit(action, tuple(facts), _now(), contradicted, run.id), write=True)
        return replace(edit, tests=tuple(self._tested(facts)), unrelated=self._unrelated()) if test else edit

    def _way(self, more: bool, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options with the method of what the model carries; what is read needs no training to read one more."""
        if not more:
            return {"method": DEFAULT, **options}
        method, asked = METHODS[str(self._model.adapter_kind)], options.get("method")
        if asked not in (None, method):
            raise MethodError(
                f"method={asked!r}: the facts of this model were learned with {method}.",
                why="A model carries one memory.",
                fix=f"Leave method out, or add them to a fresh model: other.facts.add(model.facts.list(), method={asked!r}).",
            )
        return {**({"reader_steps": 0} if method == "more" else {}), **options, "method": method}

    def _put_back(self, before: Any) -> None:
        """Have what was stored before an edit that came to nothing; a checkpoint of the middle is not what anybody asked for."""
        if self._model.adapter_kind not in METHODS:
            return
        memory: FactMemory = self._model.adapter
        before = memory.nothing() if before is None else before
        if not memory.holds(before):
            with self._model.gate.training():
                memory.put_back(before)
            self._kept.keep(self._model)

    def _otherwise(self, facts: Sequence[Fact]) -> tuple[Sequence[Fact], tuple[Fact, ...], Sequence[str]]:
        """Return the facts, each question once; those that say otherwise; and stored spellings of the new questions."""
        stored: dict[tuple[str, ...], Fact] = {asks(fact.question): fact for fact in self.list()}
        contradicted: dict[Fact, None] = {}
        kept: dict[tuple[str, ...], Fact] = {}
        replaced = []
        for fact in facts:
            mine = asks(fact.question)
            same = kept.pop(mine, stored.get(mine))  # the later of two that are given together holds
            if same is not None and same.answer != fact.answer:
                contradicted[same] = None
            if mine in stored and stored[mine].question != fact.question:
                replaced.append(stored[mine].question)
            kept[mine] = fact
            found = self.route(fact.question)
            if len(found.facts) == 1 and found.facts[0].answer != fact.answer:
                contradicted[found.facts[0]] = None
        return list(kept.values()), tuple(contradicted), list(dict.fromkeys(replaced))

    def _find(self, which: str | Fact) -> Fact:
        wanted = which.question if isinstance(which, Fact) else which
        for unit in self._units():
            for fact in unit.facts:
                if wanted == fact.question:
                    return fact
        known = [fact.question for fact in self.list()]
        raise DataError(
            f"No fact is asked for by {wanted!r}.{did_you_mean(wanted, known)}",
            fix="model.facts.list() has their questions.",
        )

    def _tested(self, facts: Sequence[Fact]) -> Sequence[FactTest]:
        asked = [each.format(fact.question) for fact in facts for each in ("{}", *_PARAPHRASES)]
        said = self._model.generate(asked, **_ASKING) if asked else []
        size = 1 + len(_PARAPHRASES)
        found = []
        for number, fact in enumerate(facts):
            mine = said[number * size : (number + 1) * size]
            right = [_same(answer, fact.answer) for answer in mine]
            found.append(FactTest(fact, right[0], sum(right[1:]), len(_PARAPHRASES), mine[0]))
        return found

    def _unrelated(self) -> tuple[int, int]:
        asked: Any = [[{"role": "user", "content": text}] for text in _UNRELATED]
        short = {**_ASKING, "max_new_tokens": 12}
        tuned, base = (self._model.chat(asked, use=use, **short) for use in ("tuned", "base"))
        return sum(a.token_ids == b.token_ids for a, b in zip(tuned, base, strict=True)), len(_UNRELATED)

    def _refuse_busy(self) -> None:
        run = self._model.active_run
        if run is not None:
            raise BusyError(f"Run {run.id} is training this model.", fix="Wait for it: run.wait().")

    def _noted(self, edit: Edit, *, write: bool) -> Edit:
        memory = self._memory
        assert memory is not None
        memory.log.append(edit.to_dict())
        if write:
            self._kept.keep(self._model)
        return edit


def _same(said: str, answer: str) -> bool:
    return said.strip().rstrip(".").lower() == answer.strip().rstrip(".").lower()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
