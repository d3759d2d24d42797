"""What a run does for a source whose examples the model makes: see :class:`~shadownb.engine.objectives.sources.SourceRun`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.disk import write_atomically
from shadownb.engine.inference import Completion, Rollout, Sampling
from shadownb.engine.ports.abilities import TellsDistributions
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.packing import Bundle
from shadownb.errors import CheckpointError, DiskFullError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.ports.training import TrainingSession
    from shadownb.engine.rendering import Renderer
    from shadownb.engine.runs.services import RunServices

REFERENCE = "reference"  # folder of the run


class Answering:
    """The weights of a session, as they answer and as the run found them."""

    def __init__(self, services: RunServices, session: TrainingSession) -> None:
        self._services, self._session = services, session
        self._reference: Any = None
        self.check, self.phase, self.warn = services.check, services.phase, services.warn
        self.stopped = services.control.stopped

    @property
    def samples(self) -> Path:
        """The folder of the run for answers."""
        return self._services.folder.samples

    @property
    def renderer(self) -> Renderer:
        """Makes tokens of conversations, as the model is asked."""
        return self._services.model.renderer

    @property
    def positions(self) -> int | None:
        """How many tokens of a row the model has room for."""
        return self._services.model.lengths.room_for_rows(self._services.config)

    def trains(self, model: Any) -> bool:
        """Return whether a loaded model is the very one that is trained."""
        return model is self._services.model

    def answer(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        """Have the weights of the moment answer prompts."""
        return self._services.answer(prompts, sampling)

    def rollouts(
        self, prompts: Sequence[Sequence[int]], n: int, sampling: Sampling, skip: Collection[tuple[int, int]] = ()
    ) -> Iterator[Rollout]:
        """Have them answer each prompt ``n`` times; a stop is raised."""
        stopped = self._services.control.stopped
        for rollout in self._services.model.generator.rollouts(prompts, n, sampling, skip=skip, should_stop=stopped):
            if rollout.completion.finish_reason != "cancelled":
                yield rollout
            self.check()
        self.check()

    def log_probs(self, bundles: Sequence[Bundle], *, reference: bool = False) -> list[list[list[float]]]:
        """Return the log-probabilities of the trained tokens of each row of each bundle."""
        with self._weights(reference):
            return self._seen(bundles, ("logp",))["logp"]

    def distributions(
        self, rows: Sequence[Rendered], *, reference: bool = False
    ) -> Iterator[tuple[int, Sequence[int], Any]]:
        """Yield the whole distributions at the trained tokens of rows, piece by piece."""
        model = self._services.model
        if not isinstance(model.backend, TellsDistributions):
            raise ModelError(
                f"backend={model.backend_name!r} tells no whole distributions, which this method compares.",
                fix="Load the model with backend='torch'.",
            )
        with self._weights(reference):
            yield from model.backend.distributions(model, rows, "tuned")

    @contextlib.contextmanager
    def _weights(self, reference: bool) -> Iterator[None]:
        """Have the weights inside the block, as they are or as the run found them."""
        with self._services.weights():
            now = self._session.snapshot() if reference else None
            if reference:
                self._session.restore(self._reference)
            try:
                yield
            finally:
                if reference:
                    self._session.restore(now)

    def seen(self, bundles: Sequence[Bundle], *names: str) -> dict[str, list[list[list[float]]]]:
        """Return arrays of the trained tokens by name, of one pass over the weights of the moment."""
        with self._services.weights():
            return self._seen(bundles, names)

    def _seen(self, bundles: Sequence[Bundle], names: Sequence[str]) -> dict[str, list[list[list[float]]]]:
        found: dict[str, list[list[list[float]]]] = {name: [[] for _ in bundles] for name in names}
        for numbers, tokens in self._session.score(bundles):
            for name in names:
                rows = tokens.listed(getattr(tokens, name))
                for number in numbers:
                    found[name][number], rows = rows[: len(bundles[number])], rows[len(bundles[number]) :]
        return found

    def keep_reference(self) -> None:
        """Keep the model as the run found it: in memory, and once in the run's folder, for whoever resumes it.

        Raises
        ------
        CheckpointError
            The run goes on, and what it had kept is gone.
        """
        if self._reference is not None:
            return
        kept, session = self._services.folder.path / REFERENCE, self._session
        with self._services.weights():
            if not self._services.own_checkpoint:  # the run begins here
                if self._services.resume is not None:
                    session.load_weights(self._services.resume.path)
                self._write(kept)
                self._reference = session.snapshot()
                return
            if not kept.is_dir():
                raise CheckpointError(
                    f"Run {self._services.folder.id} cannot go on: {kept} is gone.",
                    why="It has the model as the run found it, which the divergence is measured from.",
                    fix="Put it back, or load the newest checkpoint with shadownb.load() and start a new run.",
                )
            now = session.snapshot()
            session.load_weights(kept)
            self._reference = session.snapshot()
            session.restore(now)

    def _write(self, kept: Path) -> None:
        aside = kept.with_name(f".{REFERENCE}")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(kept, ignore_errors=True)
        aside.mkdir()
        self._session.save_weights(aside)
        aside.rename(kept)

    def weights_digest(self) -> str:
        """Return the sha256 of what is trained, as it is now."""
        with self._services.weights():
            return self._session.digest()

    def said(self, completion: Completion, prompt: Sequence[int]) -> str:
        """Return what an answer says behind its reasoning; all of it where that was not ended."""
        return self._services.said(completion.text, list(prompt))

    def answered(self, step: int, groups: Sequence[dict[str, Any]]) -> None:
        """Write the scored answers of a step into ``samples``; the event has their hash."""
        content = json.dumps({"step": step, "groups": list(groups)}, ensure_ascii=False)
        path = self.samples / f"completions-{step:06d}.json"
        try:
            write_atomically(path, content)
        except (OSError, DiskFullError) as error:
            reason = getattr(error, "strerror", None) or "the disk is full"
            self.warn(f"The answers of step {step} could not be written: {reason}.", fix="Free disk space.")
            return
        count = sum(len(group["completions"]) for group in groups)
        digest = hashlib.sha256(content.encode()).hexdigest()
        self._services.journal.append("completions", step=step, path=path.name, count=count, sha256=digest)
