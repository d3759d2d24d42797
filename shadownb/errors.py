"""The whole error model of ShadowNB, in one file.

1. A user mistake or a limit of the machine is a :class:`ShadowError`: a stable ``code``, ``what`` happened (it names
   the option and its value), ``why``, and ``fix``, the next step to take. Panels show it as a card, a terminal as text.
2. The subclass says which part refused; ``except ShadowError`` catches all of them.
3. Something that is wrong but does not stop the work is a :class:`ShadowWarning`, recorded in the run as well.
4. An invariant of our own that breaks is an ``assert``: that is a defect in ShadowNB and never a user's fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ShadowError(Exception):
    """An error with a next step for the user; base class of all errors that ShadowNB raises on purpose.

    Parameters
    ----------
    what
        What happened, in one sentence with the option and its value.
    why
        The reason, with the number or rule behind it; may be empty.
    fix
        The next step.
    code
        A stable identifier; the class has a default.

    Examples
    --------
    >>> try:
    ...     snb.TrainConfig(lora_rank=8)
    ... except snb.ShadowError as error:
    ...     print(error.as_text())
    ...     print(error.code, list(error.to_dict()))
    lora_rank=8 is not a training option. Did you mean 'lora_r'?
    Next: Call shadownb.TrainConfig.describe() for the list of options.
    config ['code', 'kind', 'what', 'why', 'fix']
    """

    code = "error"

    def __init__(self, what: str, *, why: str = "", fix: str = "", code: str | None = None) -> None:
        self.what = what
        self.why = why
        self.fix = fix
        if code is not None:
            self.code = code
        super().__init__(self.as_text())

    def as_text(self) -> str:
        """Return the error as a terminal shows it, on several lines."""
        lines = [self.what]
        if self.why:
            lines.append(f"Why: {self.why}")
        if self.fix:
            lines.append(f"Next: {self.fix}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values, as journals and panels use them."""
        return {
            "code": self.code,
            "kind": type(self).__name__,
            "what": self.what,
            "why": self.why,
            "fix": self.fix,
        }

    def __reduce__(self) -> Any:
        return (_rebuild, (type(self), self.what, self.why, self.fix, self.code))


def _rebuild(kind: type[ShadowError], what: str, why: str, fix: str, code: str) -> ShadowError:
    return kind(what, why=why, fix=fix, code=code)


class ConfigError(ShadowError, ValueError):
    """An option has an unknown name or a value outside its range, or two options contradict each other."""

    code = "config"


class DataError(ShadowError, ValueError):
    """Data is empty, unreadable, mixed, or lacks what the method needs."""

    code = "data"


class ModelError(ShadowError, ValueError):
    """A model cannot be found, loaded, or used for what was asked."""

    code = "model"


class ModelNotFoundError(ModelError):
    """No model goes by this name: no alias, folder, GGUF file, run id, or reachable hub id."""

    code = "model-not-found"


class MethodError(ShadowError, ValueError):
    """A training method is unknown, or the base model is not what it needs."""

    code = "method"


class BusyError(ShadowError, RuntimeError):
    """The model or the run is in use and the request cannot be queued."""

    code = "busy"


class RunError(ShadowError, RuntimeError):
    """A run cannot do what was asked in its present state, or its folder is damaged."""

    code = "run"


class RunNotFoundError(RunError, LookupError):
    """No run has this id."""

    code = "run-not-found"


class CheckpointError(RunError):
    """A checkpoint is missing, torn, or does not belong to the run."""

    code = "checkpoint"


class DiskFullError(RunError):
    """A file could not be written because the disk is full."""

    code = "disk-full"


class NonFiniteLossError(RunError):
    """The loss became NaN or infinite."""

    code = "non-finite-loss"


class GradientError(RunError):
    """A gradient does not reach what is trained."""

    code = "gradient"


class DivergedError(RunError):
    """Training made the model worse than it began; it has the weights of the last good checkpoint again."""

    code = "diverged"

    last_good_step: int | None = None


class OutOfMemoryError(RunError):
    """The device or the machine ran out of memory."""

    code = "out-of-memory"


class EndpointError(ShadowError, RuntimeError):
    """A server did not answer a conversation, or sent what is no answer.

    Attributes
    ----------
    status
        Of HTTP; None where there was no answer.
    for_all
        Whether it would be the same for every other conversation: the key, the address, the credit.
    replies
        Where several conversations were asked: what each got, in their order, a reply or the error. What was answered was
        paid for, so it is not thrown away.
    """

    code = "endpoint"

    status: int | None = None
    for_all = False
    replies: Sequence[Any] = ()

    def __reduce__(self) -> Any:
        return (*super().__reduce__(), dict(self.__dict__))


class SandboxError(ShadowError, RuntimeError):
    """This machine cannot enclose a program of a model, so none was run.

    Examples
    --------
    >>> try:
    ...     outcome = snb.sandbox.run_python("print(6 * 7)")
    ... except snb.sandbox.SandboxError as error:
    ...     print(error.fix)
    """

    code = "sandbox"


class MissingDependencyError(ShadowError, ImportError):
    """An optional package is not installed."""

    code = "missing-dependency"


class ExportError(ShadowError, ValueError):
    """A model cannot be saved in the requested format."""

    code = "export"


class ShadowWarning(UserWarning):
    """Something a user should know that does not stop the work; filter it with :mod:`warnings`.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", snb.ShadowWarning)
    ...     answer = model.generate("I paid twice.", system="Answer in French.", max_new_tokens=4)
    >>> print(caught[0].message)
    Asked behind a system prompt, but no row of the training has one. Leave system out to start as the rows do.
    """


def did_you_mean(name: str, choices: list[str] | tuple[str, ...]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest of ``choices``, or an empty string."""
    from difflib import get_close_matches

    close = get_close_matches(str(name), [str(c) for c in choices], n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def quoted(choices: Sequence[str]) -> str:
    """Return ``'a', 'b' or 'c'``."""
    *before, last = map(repr, choices)
    return f"{', '.join(before)} or {last}" if before else last


def error_from_dict(content: dict[str, Any]) -> ShadowError:
    """Return the error that :meth:`ShadowError.to_dict` described; an unknown kind becomes a plain ShadowError."""
    kind = globals().get(str(content.get("kind")), ShadowError)
    if not (isinstance(kind, type) and issubclass(kind, ShadowError)):
        kind = ShadowError
    return kind(
        str(content.get("what", "")),
        why=str(content.get("why") or ""),
        fix=str(content.get("fix") or ""),
        code=content.get("code"),
    )
