"""Answers of a batch that is not over: a file in the run's ``samples``, so that a run that was killed goes on with them.

One line an answer, written as soon as it is finished, and one a scored group. They count for the very weights that gave them (a
run that goes back to an earlier checkpoint comes to the same weights again, bit for bit), so the first line has their digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shadownb.engine.environments import Episode
from shadownb.engine.inference.types import Completion, Rollout

_NAME = "answering-{:06d}.jsonl"


class KeptAnswers:
    """The file of one batch.

    Attributes
    ----------
    answers
        Finished ones, by (prompt, sample).
    scores
        What scorers said of whole groups, by prompt.
    """

    def __init__(self, folder: Path, batch: int, weights: str, asked: Mapping[str, Any]) -> None:
        self._path = folder / _NAME.format(batch)
        self._head = {"weights": weights, **asked}
        self.answers: dict[tuple[int, int], Completion] = {}
        self.scores: dict[int, Any] = {}
        self._read()

    def _read(self) -> None:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            lines = []
        entries = []
        for line in lines[:-1]:  # what a killed process did not end has no line break
            try:
                entries.append(json.loads(line))
            except ValueError:
                break
        if not entries or entries[0] != self._head:  # of other weights, or asked in another way
            self._path.write_text(json.dumps(self._head) + "\n", encoding="utf-8")
            return
        for entry in entries[1:]:
            if "scores" in entry:
                self.scores[entry["prompt"]] = entry["scores"]
            else:
                kind = Episode if "input_ids" in entry["completion"] else Completion
                self.answers[entry["prompt"], entry["sample"]] = kind(**entry["completion"])
        if lines[-1]:
            whole = b"\n".join(lines[: len(entries)]) + b"\n"
            self._path.write_bytes(whole)

    def add(self, rollout: Rollout) -> None:
        """Keep an answer."""
        completion = rollout.completion
        self.answers[rollout.prompt, rollout.sample] = completion
        self._write({"prompt": rollout.prompt, "sample": rollout.sample, "completion": dict(vars(completion))})

    def scored(self, prompt: int, scores: Any) -> None:
        """Keep what the scorers said of a group."""
        self.scores[prompt] = scores
        self._write({"prompt": prompt, "scores": scores})

    def _write(self, entry: dict[str, Any]) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def forget(folder: Path, before: int) -> None:
    """Delete the files of earlier batches, which no checkpoint goes back to any more."""
    for path in folder.glob("answering-*.jsonl"):
        number = path.stem.rpartition("-")[2]
        if number.isdigit() and int(number) < before:
            path.unlink(missing_ok=True)
