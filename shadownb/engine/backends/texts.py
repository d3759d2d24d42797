"""What every backend of ours says in the same words: of loading, of what is on a model or beside it, of a training."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from shadownb.engine.hub.refusals import explain
from shadownb.errors import (
    CheckpointError,
    ConfigError,
    ExportError,
    MethodError,
    ModelError,
    NonFiniteLossError,
    OutOfMemoryError,
    ShadowError,
)

# -- loading ----------------------------------------------------------------------------------------------------------


def does_not_fit(name: str, device: str, error: BaseException) -> OutOfMemoryError:
    """Return the error of a model that memory has no room for."""
    return OutOfMemoryError(
        f"{name} does not fit into the memory of {device}.",
        why=str(error).splitlines()[0],
        fix="Load it with quantize='4bit', or choose a smaller model.",
    )


def unreadable(location: str, error: BaseException) -> ModelError:
    """Return the error of a folder whose files say nothing that could be loaded."""
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return ModelError(f"The model in {location} cannot be read.", why=why, fix="Save or download it again.")


def unreachable(name: str, error: BaseException) -> ShadowError:
    """Return the error of a hub id that could not be fetched."""
    return explain(name, error)


# -- what is on a model, or beside it ---------------------------------------------------------------------------------


def check_replacing(method: str, *, replaces: bool, trained: bool, noun: str) -> None:
    """Raise MethodError where one of method and model is of the base's own weights, and the other stands on a base.

    Parameters
    ----------
    replaces, trained
        Whether the method trains the base's weights, and whether those of this model have been trained.
    noun
        What the model carries.
    """
    if trained and not replaces:
        raise MethodError(
            f"method={method!r} trains an adapter on an unchanged base, but this base has been trained.",
            why="The adapter alone would not give this model again.",
            fix="Save it with model.save(path, fmt='merged') and load that folder, or load a fresh model.",
        )
    if replaces and not trained:
        raise MethodError(
            f"method={method!r} trains the base weights, but this model carries {noun}.",
            fix="Load a fresh model, or merge the adapter first with model.save(path, fmt='merged').",
        )


def other_kind(method: str, have: str) -> MethodError:
    """Return the error for a model that carries something else."""
    return MethodError(
        f"method={method!r}: this model carries {have}, which this method does not train.",
        why="A model carries one trained state; two on top of each other could not be told apart.",
        fix="Load a fresh model, or save this one with model.save(path, fmt='merged') and load that folder.",
    )


def other_shape(option: str, asked: object, noun: str, have: object) -> MethodError:
    """Return the error for an option that what the model carries has fixed."""
    return MethodError(
        f"{option}={asked!r}: this model carries {noun} with {option}={have!r}.",
        why="Training continues on what is there; its shape cannot change.",
        fix=f"Leave {option} out to train on, or load a fresh model.",
    )


def not_mergeable(kind: str) -> ExportError:
    """Return the error for a trained state that no weights of the base could have."""
    return ExportError(
        f"fmt='merged': what was trained here ({kind}) is no part of the base's weights.",
        why="It computes something that no weight of the base could.",
        fix="Use fmt='adapter'; shadownb.load(path) puts it on the base again.",
    )


def nothing_trained(folder: Path) -> ModelError:
    """Return the error for a folder without a trained state."""
    return ModelError(
        f"{folder} holds no adapter and no weights.", fix="Give a checkpoint, or a folder that save() wrote."
    )


def no_base_for(name: str) -> ModelError:
    """Return the error for an adapter that is asked beside weights that were trained themselves."""
    return ModelError(
        f"use={name!r}: the weights of this model itself were trained, so an adapter has no base to stand on.",
        why="An adapter belongs to the weights that it was trained on.",
        fix="Load the base again beside this model, and ask the adapter there.",
    )


def whole_model(name: str, folder: Path) -> ModelError:
    """Return the error for whole weights that are asked as an adapter."""
    return ModelError(
        f"use={name!r} is a whole model, not an adapter.",
        why="All of its weights were trained, so that it takes as much memory as this one and shares nothing with it.",
        fix=f"Load it: shadownb.load({str(folder)!r}).",
    )


def cannot_answer(name: str, why: str, fix: str) -> ModelError:
    """Return the error for an adapter that does not stand on this base."""
    fix = fix or "Load the base that it was trained on, and ask it there."
    return ModelError(f"use={name!r} cannot answer on this base.", why=why, fix=fix)


def check_side(use: object) -> None:
    """Raise ConfigError for a word that names no weights."""
    if use not in ("tuned", "base"):
        raise ConfigError(f"use={use!r} is unknown.", fix="use='tuned' for the trained weights, use='base' without.")


# -- training ---------------------------------------------------------------------------------------------------------


def other_backend(theirs: str, own: str) -> CheckpointError:
    """Return the error for a checkpoint whose optimizer was another backend's."""
    return CheckpointError(
        f"The checkpoint was written with backend={theirs!r}, and the model is loaded with {own!r}.",
        why="Its weights load with either; the state of its optimizer is of its own backend.",
        fix=f"Load the model with backend={theirs!r}, or load the checkpoint with shadownb.load() and train on without "
        "resume_from_checkpoint.",
    )


class Warned(TypedDict):
    """What a warning of a run says beside its first sentence."""

    why: str
    fix: str
    code: str


def untrained_layers(absent: list[str]) -> tuple[str, Warned]:
    """Return the warning of layers that got no gradient at all."""
    return f"{len(absent)} trained layers were not computed in the first step, first {absent[0]}.", {
        "why": "They have no part in answers to text, so nothing was trained there.",
        "fix": "Leave them out with target_modules, so that the adapter is no larger than it needs to be.",
        "code": "untrained-layers",
    }


def not_finite(what: str, value: float, *, after: int, rate: float) -> NonFiniteLossError:
    """Return the error of a number that became NaN or infinite after so many steps, the last one at a learning rate."""
    if after == 0:
        return NonFiniteLossError(
            f"The {what} became {value} in the first step, before anything was trained.",
            why="No update has been made, so it comes from the base's weights or from the rows of that step.",
            fix="Ask the model something: if that fails as well, load it again, a 16-bit one with dtype='float32'. "
            "Otherwise look at the first rows with dataset.inspect(model).",
        )
    return NonFiniteLossError(
        f"The {what} became {value} after step {after} (learning_rate={rate:.2g} there).",
        why="The model has the weights of the newest checkpoint again, or of the start; nothing was overwritten.",
        fix="Lower learning_rate, set max_grad_norm=1.0, or look at the rows of that step with dataset.inspect().",
    )
