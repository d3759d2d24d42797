"""TrainConfig: the one validated description of a training run.

Every face of the product (API call, panel form, ``%shadow`` option, command-line flag, YAML key) is generated from
its fields (:mod:`.config_options`, and of objectives :mod:`.config_objectives`); a test proves that all five list the same
ones. Here is what holds between fields, the figures that follow from them, and their other forms.

Which method honours which field is not written here: it is derived from the method specs and the backend
(:mod:`shadownb.engine.capabilities`).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from pydantic import PrivateAttr, ValidationError, ValidationInfo, field_validator, model_validator

from shadownb.engine import methods, older, registry
from shadownb.engine.config_fields import config_fields
from shadownb.engine.config_objectives import Chosen, as_config_error, option_names
from shadownb.engine.config_options import DEFAULT_MAX_STEPS, GROUPS, TARGET_PRESETS, Options
from shadownb.engine.importable import importable_name
from shadownb.engine.methods import MethodSpec
from shadownb.errors import ConfigError, did_you_mean, quoted

__all__ = ["DEFAULT_MAX_STEPS", "GROUPS", "TARGET_PRESETS", "TrainConfig"]


class TrainConfig(Options):
    """The options of a training; validated on creation and immutable.

    Raises
    ------
    ConfigError
        An option is unknown (the message suggests the closest name), is outside its range, or contradicts another one.

    Examples
    --------
    >>> config = snb.TrainConfig(method="dpo", max_steps=30, beta=0.2)
    >>> config.changed
    {'method': 'dpo', 'max_steps': 30, 'beta': 0.2}
    >>> config.rows_per_step  # per_device_train_batch_size times gradient_accumulation_steps
    8
    >>> print(config.learning_rate, config.resolved_learning_rate())
    None 5e-05
    >>> config.objective_options.beta, config.spec.title, sorted(config.model_fields_set)
    (0.2, 'DPO', ['beta', 'max_steps', 'method'])
    >>> config.resolved_target_modules()
    'all-linear'
    >>> config.to_dict()["max_steps"]
    30
    >>> snb.TrainConfig(lora_rank=8)
    Traceback (most recent call last):
        ...
    shadownb.errors.ConfigError: lora_rank=8 is not a training option. Did you mean 'lora_r'?
    Next: Call shadownb.TrainConfig.describe() for the list of options.
    """

    # -- creation ------------------------------------------------------------------------------------------------

    _spec: MethodSpec | None = PrivateAttr(None)  # of a run's record; this process may know another one by its name
    _chosen: Chosen = PrivateAttr(Chosen())  # what the method's objective is told, and no other

    def __init__(self, /, *, spec: MethodSpec | None = None, **values: Any) -> None:
        every = type(self).model_fields
        named = spec or _registered(values.get("method", every["method"].default))
        more = {name: value for name, value in (named.defaults if named is not None else ()) if name not in every}
        more |= {name: value for name, value in values.items() if name not in every}
        chosen = Chosen.of(named, more, recorded=spec is not None)
        try:
            values = {name: value for name, value in values.items() if name in every}
            self.__pydantic_validator__.validate_python(values, self_instance=self, context=spec)
        except ValidationError as error:
            raise as_config_error(error, every) from None
        self._spec, self._chosen = spec, chosen

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return an option of an objective: as it was chosen, else its default."""
            if name.startswith("_"):
                return super().__getattr__(name)
            values = self._chosen.values()
            try:
                return values[name] if name in values else self._default_of(name)
            except KeyError:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def __eq__(self, other: object) -> bool:
        # Whether the spec was given or is the registered one makes no difference, only what it is.
        return isinstance(other, TrainConfig) and self._compared == other._compared

    def __hash__(self) -> int:
        return hash((tuple(dict(self).items()), tuple(self._chosen.values())))  # a record may have lists there

    @property
    def _compared(self) -> tuple[Any, ...]:
        return dict(self), self._chosen.values(), self.spec

    @property
    def objective_options(self) -> Any:
        """The options that only the method's objective has, as a pydantic model; None if it has none."""
        return self._chosen.own

    @property
    def model_fields_set(self) -> set[str]:
        """Names of the options that were given explicitly."""
        return super().model_fields_set | self._chosen.given

    @property
    def spec(self) -> MethodSpec:
        """The :class:`MethodSpec` of the method: from a run's record, else the registered one."""
        return self._spec if self._spec is not None else methods.get(self.method)

    @field_validator("sample_prompts", "report_to", "notify", mode="before")
    @classmethod
    def _one_string_is_one_item(cls, value: Any) -> Any:
        # Otherwise report_to="wandb" becomes ("w", "a", "n", "d", "b").
        return (value,) if isinstance(value, str) and value else (value or ())

    @field_validator("notify")
    @classmethod
    def _channels_have_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any("://" in each or " " in each for each in value):  # it is not repeated here: errors are logged
            raise ConfigError(
                "notify has an address or a command, and a run's record is no place for secrets.",
                fix="snb.notifications.add('team', url=...) keeps it, and notify='team' names it.",
            )
        return value

    @field_validator("report_to", mode="before")
    @classmethod
    def _none_is_no_tracker(cls, value: Any) -> Any:
        return () if value in ("none", ("none",), ["none"]) else value

    @field_validator("max_grad_norm", mode="before")
    @classmethod
    def _none_is_the_default(cls, value: Any) -> Any:
        return cls.model_fields["max_grad_norm"].default if value is None else value

    @field_validator("optim", mode="before")
    @classmethod
    def _function_by_name(cls, value: Any) -> Any:
        # A run is resumed in other processes, so its record names the function.
        return importable_name("optim", value) if callable(value) else value

    @field_validator("method")
    @classmethod
    def _method_exists(cls, value: str, info: ValidationInfo) -> str:
        return value if info.context is not None else methods.get(value).name

    @field_validator("executor")
    @classmethod
    def _executor_is_registered(cls, value: str) -> str:
        if value != "auto" and not registry.has("executor", value):
            choices = ("auto", *registry.names("executor"))
            raise ConfigError(
                f"executor={value!r}: input should be {quoted(choices)}.{did_you_mean(value, choices)}",
                fix=f"executor: {cls.model_fields['executor'].description}",
            )
        return value

    @field_validator("target_modules")
    @classmethod
    def _targets_are_named(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if value == "all-linear":  # as peft calls it
            return "all"
        if isinstance(value, str) and value not in TARGET_PRESETS:
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="before")
    @classmethod
    def _as_trl_says_it(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("assistant_only_loss") is not None:
            meant = "assistant" if values["assistant_only_loss"] else "all"
            if values.get("loss_on", meant) != meant:
                raise ValueError(
                    f"assistant_only_loss={values['assistant_only_loss']} means loss_on={meant!r}, "
                    f"but loss_on={values['loss_on']!r} was given as well; give only loss_on"
                )
            return {**values, "loss_on": meant}
        return values

    @model_validator(mode="before")
    @classmethod
    def _method_defaults(cls, values: Any, info: ValidationInfo) -> Any:
        spec = info.context or _registered(values.get("method", cls.model_fields["method"].default))
        every = {k: v for k, v in (spec.defaults if spec is not None else ()) if k in cls.model_fields}
        return {**every, **values}

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if isinstance(self.eval_steps, float) and self.eval_steps > 1 and not self.eval_steps.is_integer():
            raise ValueError(f"eval_steps={self.eval_steps} must be a whole number of steps or a share below 1")
        return self

    # -- derived values ------------------------------------------------------------------------------------------

    @property
    def rows_per_step(self) -> int:
        """Rows in one optimizer step."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    def resolved_learning_rate(self) -> float:
        """Return the peak learning rate: the one given, or the method's default."""
        return self.learning_rate if self.learning_rate is not None else self.spec.default_learning_rate

    def resolved_total_steps(self, items: int) -> int:
        """Return the number of optimizer steps for ``items`` rows (or packed sequences, with ``packing``).

        Examples
        --------
        >>> snb.TrainConfig(num_train_epochs=3).resolved_total_steps(100)  # 8 rows a step
        39
        >>> snb.TrainConfig().resolved_total_steps(100)
        60
        """
        spec = self.spec
        if not spec.guest and registry.has("objective", spec.objective):
            said = registry.resolve("objective", spec.objective).total_steps(self, items)
            if said is not None:
                return int(said)
        if self.max_steps is not None:
            return self.max_steps
        if self.num_train_epochs is not None:
            per_epoch = -(-items // self.rows_per_step)
            return max(1, -(-int(per_epoch * self.num_train_epochs * 1000) // 1000))
        return DEFAULT_MAX_STEPS

    def resolved_warmup(self, total_steps: int) -> int:
        """Return the warm-up steps: as given; by default at most a tenth of the run; 0 at a constant rate.

        Examples
        --------
        >>> snb.TrainConfig().resolved_warmup(30), snb.TrainConfig(warmup_ratio=0.2).resolved_warmup(30)
        (3, 6)
        """
        if self.lr_scheduler_type == "constant":
            return 0
        if self.warmup_ratio is not None:
            return round(self.warmup_ratio * total_steps)
        if "warmup_steps" in self.model_fields_set:
            return min(self.warmup_steps, total_steps)
        return min(self.warmup_steps, total_steps // 10)  # in a run of one step the only rate would be 0

    def resolved_decay(self, total_steps: int) -> int:
        """Return how many steps the final decay of ``warmup_stable_decay`` takes: the last fifth.

        Examples
        --------
        >>> snb.TrainConfig(lr_scheduler_type="warmup_stable_decay").resolved_decay(60)
        12
        """
        return max(1, min(total_steps // 5, total_steps - self.resolved_warmup(total_steps)))

    def resolved_eval_steps(self, total_steps: int) -> int:
        """Return the number of steps between evaluations.

        Examples
        --------
        >>> snb.TrainConfig().resolved_eval_steps(60), snb.TrainConfig(eval_steps=0.1).resolved_eval_steps(60)
        (15, 6)
        """
        if self.eval_steps is None:
            return max(1, total_steps // 4)
        if self.eval_steps < 1:
            return max(1, round(self.eval_steps * total_steps))
        return int(self.eval_steps)

    def resolved_save_steps(self, total_steps: int) -> int:
        """Return the number of steps between checkpoints.

        Examples
        --------
        >>> snb.TrainConfig().resolved_save_steps(60)
        15
        """
        return self.save_steps if self.save_steps is not None else max(1, total_steps // 4)

    def resolved_target_modules(self) -> str | tuple[str, ...]:
        """Return the target modules as peft takes them, with presets expanded."""
        if isinstance(self.target_modules, str):
            return TARGET_PRESETS[self.target_modules]
        return self.target_modules

    # -- forms of the same thing ---------------------------------------------------------------------------------

    @property
    def changed(self) -> dict[str, Any]:
        """The options that were given and differ from their default (of the method, if it has its own), with their values."""
        return {
            name: getattr(self, name)
            for name in (*type(self).model_fields, *self._chosen.given)
            if name in self.model_fields_set and getattr(self, name) != self._default_of(name)
        }

    def _default_of(self, name: str) -> Any:
        every, of_method = type(self).model_fields, dict(self.spec.defaults)
        if name in of_method:
            return of_method[name]
        return every[name].default if name in every else self._chosen.default_of(name)

    def replace(self, **values: Any) -> TrainConfig:
        """Return a copy with other values, validated again.

        Examples
        --------
        >>> snb.TrainConfig(max_steps=30).replace(lora_r=8).changed
        {'max_steps': 30, 'lora_r': 8}
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return self._made({**given, **values}, known=self.executor, spec=self._spec)

    def as_given(self, names: Collection[str]) -> TrainConfig:
        """Return a copy of which these options, and no others, were given explicitly."""
        copy = type(self).model_construct({name for name in names if name in type(self).model_fields}, **dict(self))
        copy._spec, copy._chosen = self._spec, self._chosen.of_given(names)
        return copy

    def to_dict(self) -> dict[str, Any]:
        """Return every option of the method as JSON-compatible values."""
        return {**self.model_dump(mode="json"), **self._chosen.as_json()}

    def to_yaml(self, *, only_changed: bool = False) -> str:
        """Return the options as YAML, which :meth:`from_yaml` reads back; ``only_changed`` leaves out defaults.

        Examples
        --------
        >>> print(snb.TrainConfig(max_steps=30, lora_r=8).to_yaml(only_changed=True))
        method: lora
        max_steps: 30
        lora_r: 8
        """
        values = self.to_dict()
        if only_changed:
            values = {name: values[name] for name in ["method", *self.changed] if name in values}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(
        cls, source: str | Path, *, given: Collection[str] | None = None, spec: MethodSpec | None = None
    ) -> TrainConfig:
        r"""Read a config from YAML text, or from a file when given a path.

        Parameters
        ----------
        given
            For the record of a run: the options that were chosen by somebody. An unknown option that is not among them had its
            default in another version, and is left out instead of refused. None: all count as chosen.
        spec
            For the record of a run: the method's spec. None uses the registered one.

        Examples
        --------
        >>> snb.TrainConfig.from_yaml("method: lora\nlora_r: 8\n").lora_r
        8
        """
        text = Path(source).read_text(encoding="utf-8") if isinstance(source, Path) else source
        try:
            values = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise ConfigError(
                f"The configuration is not valid YAML: {error}", fix="Write one 'option: value' a line."
            ) from None
        if not isinstance(values, dict):
            raise ConfigError(
                f"The configuration is a {type(values).__name__}, not options.", fix="Write one 'option: value' a line."
            )
        if given is None:
            return cls(spec=spec, **values)
        values = older.options(values)
        if spec is None or registry.has(*(("guest", spec.guest) if spec.guest else ("objective", spec.objective))):
            left_out = set(values) - set(option_names(spec)) - set(given)
        else:  # nobody here knows its options, so what it has is kept as it is
            left_out = set()
        values = {name: value for name, value in values.items() if name not in left_out}
        return cls._made(values, known=values.get("executor"), spec=spec)

    @classmethod
    def _made(cls, values: dict[str, Any], *, known: Any, spec: MethodSpec | None) -> Self:
        """Return a config with an executor that was registered where it was chosen; here it need not be.

        A run is read and trained in processes that know nothing of what a cell has registered.
        """
        if "executor" not in values or values["executor"] != known:
            return cls(spec=spec, **values)
        made = cls(spec=spec, **{**values, "executor": cls.model_fields["executor"].default})
        return made.model_copy(update={"executor": known})

    @classmethod
    def describe(cls) -> str:
        """Return a table of all options as text, one per line: name, type, default, help.

        Examples
        --------
        >>> print(snb.TrainConfig.describe().splitlines()[1])
        learning_rate   float   None   Peak learning rate; ...
        """
        rows = [f"{f.name:28} {f.kind:10} {f.default!s:12} {f.help}" for f in config_fields()]
        return "\n".join(rows)


def _registered(method: Any) -> MethodSpec | None:
    return methods.get(method) if methods.known(method) else None
