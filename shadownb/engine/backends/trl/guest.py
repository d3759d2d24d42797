"""trl as a guest: see :class:`shadownb.engine.ports.guest.Guest`. Importing this loads neither trl nor torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from shadownb.engine.backends.trl import known
from shadownb.engine.backends.trl.rows import Row, shaped
from shadownb.engine.importable import load_by_name
from shadownb.engine.methods.dpo import SPEC as DPO
from shadownb.engine.methods.guests import GuestMethod
from shadownb.engine.methods.lora import SPEC as LORA
from shadownb.engine.methods.spec import MethodSpec
from shadownb.errors import ConfigError, MethodError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from shadownb.engine.config import TrainConfig
    from shadownb.engine.ports.guest import GuestRun, GuestTraining
    from shadownb.engine.ports.training import TrainingSession

# trl's defaults are for whole weights. LoRA takes about ten times as much, and our methods' for the same rows are tried.
_RATES = {
    "conversations": (LORA.default_learning_rate, LORA.rate_source),
    "messages": (LORA.default_learning_rate, LORA.rate_source),
    "pairs": (DPO.default_learning_rate, f"as for dpo here: {DPO.rate_source}"),
    "verdicts": (DPO.default_learning_rate, f"as for dpo here: {DPO.rate_source}"),
    "prompts": (1e-5, "ten times trl's 1e-6 for whole weights (LoRA Without Regret, 2025)"),
}


class Trl:
    """Every trainer of the installed trl whose data is known, with LoRA on our model."""

    resume = (
        "A resume goes on from the newest checkpoint's weights, optimizer, rate and place in the data; random numbers (dropout, "
        "sampled answers) are drawn anew, so it is the same training but not the same bits."
    )

    def methods(self) -> tuple[GuestMethod, ...]:
        """Return the trainers of the installed trl, those that are no method here with the reason."""
        listed = []
        for name, found in known.trainers().items():
            here = known.TRAINERS.get(name)
            title = f"{found.trainer}{' (trl.experimental)' if found.experimental else ''}"
            listed.append(GuestMethod(f"trl:{name}", title, here.wants if here else "", known.unusable(name)))
        return tuple(listed)

    def spec(self, name: str) -> MethodSpec:
        """Return the spec of a trainer."""
        found = known.found(name)
        here = known.TRAINERS[name]
        return LORA.replace(
            name=f"trl:{name}",
            title=f"{found.trainer} of trl",
            group="preference" if here.rows in ("pairs", "verdicts") else "rl" if here.judged else "adapter",
            hint=f"trl's {found.trainer} in a run of ours, with LoRA. {self.resume}",
            data_shape=here.wants,
            data_formats=known.FORMATS[here.rows],
            default_learning_rate=_RATES[here.rows][0],
            rate_source=_RATES[here.rows][1],
            objective=known.OBJECTIVES[here.rows],
            fields=tuple(name for name in LORA.fields if name != "init_lora_weights"),  # a reference copies one adapter
            guest="trl",
            guest_trainer=name,
        )

    def options(self, spec: MethodSpec) -> type[BaseModel]:
        """Return the table of a trainer's own options."""
        from shadownb.engine.backends.trl import options

        return options.table(_found(spec))

    def refused(self, spec: MethodSpec) -> dict[str, str]:
        """Return the trainer's options that cannot be kept here, each with the reason."""
        from shadownb.engine.backends.trl import options

        return options.refused(_found(spec))

    def fields(self, spec: MethodSpec) -> frozenset[str]:
        """Return the options of TrainConfig that a trainer honours."""
        from shadownb.engine.backends.trl import options

        return options.fields(_found(spec))

    def columns(self, config: TrainConfig) -> tuple[str, ...]:
        """Return the columns that a trainer reads beside what a row says."""
        here = known.TRAINERS[_found(config.spec).name]
        return (*here.columns, *(config.objective_options.reward_columns if here.judged else ()))

    def check(self, config: TrainConfig, backend_name: str, rows: Sequence[Row], eval_rows: Sequence[Row]) -> None:
        """Raise for what would fail once training has begun."""
        found = _found(config.spec)
        here = known.TRAINERS[found.name]
        if backend_name != "torch":
            raise MethodError(
                f"method={config.method!r} trains torch modules, and the model is one of {backend_name}.",
                fix='Load it with shadownb.load(..., backend="torch").',
            )
        if ":" in config.optim:
            raise ConfigError(
                f"optim={config.optim!r} has no effect: trl takes optimizers by their names in transformers.",
                fix="Use one of those, or leave it out.",
            )
        own = config.objective_options
        if config.lora_dropout and getattr(own, "disable_dropout", False):
            raise ConfigError(
                f"lora_dropout={config.lora_dropout} has no effect: disable_dropout is on in trl's {found.config}.",
                fix="Give disable_dropout=False with it, or leave lora_dropout out.",
            )
        if here.judged:
            _functions(config)
        if here.taught and not own.teacher_model:
            raise ConfigError(
                f"method={config.method!r} needs a teacher.",
                fix="Give teacher_model='...', a name or a folder as shadownb.load takes it.",
            )
        if eval_rows and not here.evaluates:
            raise ConfigError(
                f"eval_dataset has no effect: trl's {found.trainer} computes no loss of evaluation rows.",
                fix="Leave it out; samples of answers need none, and compare() judges them afterwards.",
            )
        for part in (rows, eval_rows):
            shaped(part, here, self.columns(config))
        _try_arguments(found, config)

    @contextlib.contextmanager
    def opened(
        self, session: TrainingSession, rows: Sequence[Row], eval_rows: Sequence[Row], run: GuestRun
    ) -> Iterator[GuestTraining]:
        """Have a training ready inside the block, and give model and process back as they were."""
        from shadownb.engine.backends.trl.training import opened

        found = _found(run.config.spec)
        here, columns = known.TRAINERS[found.name], self.columns(run.config)
        train, held_out = (shaped(part, here, columns) for part in (rows, eval_rows))
        functions = _functions(run.config) if here.judged else []
        with opened(found, session, train, held_out, run, functions) as training:
            yield training


def _found(spec: MethodSpec) -> known.Found:
    """Return the trainer of a spec, whatever a variant of it is called."""
    return known.found(spec.guest_trainer)


def _functions(config: TrainConfig) -> list[Any]:
    """Return the functions that judge answers."""
    names = config.objective_options.reward_funcs
    if not names:
        raise ConfigError(
            f"method={config.method!r} needs reward_funcs: what judges the answers that the model gives while it trains.",
            why="trl calls them with prompts, completions and the columns of the data, and they return one number an answer.",
            fix="Give functions that can be imported, reward_funcs=[my_module.function], or their names, 'my_module:function'.",
        )
    return [load_by_name("reward_funcs", name) for name in names]


def _try_arguments(found: known.Found, config: TrainConfig) -> None:
    """Have trl look at the options, unless a training of it has the process's settings now; then it looks at its beginning."""
    import torch

    from shadownb.engine.backends.trl import options, surroundings

    run: Any = SimpleNamespace(
        config=config,
        folder=Path("run"),
        total_steps=config.resolved_total_steps(1),
        eval_steps=1,
        save_steps=1,
        max_length=16,
    )
    if not surroundings.ALONE.acquire(blocking=False):
        return
    try:
        with surroundings.process_as_it_was():
            options.arguments(found, run, torch.device("cpu"), "no", judged=False)
    finally:
        surroundings.ALONE.release()
