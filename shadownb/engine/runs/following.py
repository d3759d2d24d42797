"""One of the further processes of a run: it computes its shards of each step, and writes and obeys nothing."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shadownb.engine import objectives
from shadownb.engine.loaded.model import LoadedModel
from shadownb.engine.ports.executor import Attempt
from shadownb.engine.runs import checkpoints, preparation
from shadownb.engine.runs.answering import Answering
from shadownb.engine.runs.checkpoints import TRAINING, Checkpoint
from shadownb.engine.runs.epochs import Epochs
from shadownb.engine.runs.evaluation import prepare_objective
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.job import load_model
from shadownb.engine.runs.progress_state import Progress
from shadownb.engine.runs.record import plan_of
from shadownb.engine.runs.services import RunServices
from shadownb.errors import MethodError


class _Unwritten:
    """A journal that keeps nothing: the first process writes it."""

    def append(self, kind: str, **values: Any) -> None:
        """Keep nothing."""

    def flush(self) -> bool:
        """Say that nothing is lost."""
        return True


class _Unasked:
    """Commands that never come: the first process obeys them, and says when it is over."""

    stop = None
    discarding = pause_requested = False

    def check(self) -> None:
        """Go on."""

    poll = check

    def stopped(self) -> bool:
        """Go on."""
        return False


@contextlib.contextmanager
def _ended_by_the_first() -> Iterator[None]:
    """Write a failure that the first process was told of to this one's output, and end as one that has done its part.

    Else torchrun would end the first process, too, before that has written how the run ended.
    """
    try:
        yield
    except Exception:
        traceback.print_exc()


def follow(folder: RunFolder, attempt: Attempt) -> None:
    """Compute along until the first process says that no step comes any more."""
    given, newest = attempt.checkpoint, None
    if given is not None:
        newest = checkpoints.opened(Path(given))
    elif attempt.resume:
        newest = checkpoints.newest_valid(folder.checkpoints)[0]
    model = load_model(folder)
    if newest is not None and newest.path.parent == folder.checkpoints:
        model.load_adapter(newest.path, (folder.id, newest.step))
    _follow(folder, model, newest)


def _follow(folder: RunFolder, model: LoadedModel, resume: Checkpoint | None) -> None:
    unwritten: Any = _Unwritten()
    unasked: Any = _Unasked()
    services = RunServices(folder, model, unwritten, unasked, resume=resume)
    rows = preparation.examples_of(services, folder.spec["dataset"], "rows")
    held_out = folder.spec.get("eval_dataset")
    eval_rows = preparation.examples_of(services, held_out, "evaluation rows") if held_out else []
    sequences = [row for example in rows for row in example.rows]
    with services.weights():
        session = model.backend.train(model, services.config, sequences, services)
    config = services.config = session.config
    objective = objectives.get(config.spec.objective)(config, services.max_length)
    rows, eval_rows = objective.arrange(rows), objective.arrange(eval_rows)
    epochs = Epochs(rows, config.rows_per_step, config.seed, packing=config.packing, max_length=services.max_length)
    source = objective.source(epochs, Answering(services, session))
    services.plan_steps(epochs.items, objective.iterations)
    plan, _ = plan_of(services, session, rows)
    rate, skipped = services.rate(), 0
    with _ended_by_the_first(), session.opened(plan, objective):
        if source is not epochs:
            raise MethodError(
                f"method={config.method!r} cannot be trained by several processes: each would answer for itself.",
                fix="Train it in one process.",
            )
        if resume is not None:
            objective.load(resume.path / TRAINING)
        prepare_objective(session, objective, source, rows, eval_rows, services)
        if resume is not None:
            session.load_weights(resume.path)
            session.load(resume.path / TRAINING, own=services.own_checkpoint)
            source.load(resume.path / TRAINING)
            skipped = Progress.load(resume.path / TRAINING).skipped_steps
        for step in session.followed():
            examples = source.next(step)
            objective.begin(session.ops, examples, session.score, held_out=False)
            session.compute(examples, objective, step=step, total=objective.count(examples))
            skipped += session.update(rate(step - skipped)) is None
