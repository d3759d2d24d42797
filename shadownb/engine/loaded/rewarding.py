"""Reward models among loaded ones: a trained state of this kind scores answers, and nothing may take it for one that answers."""

from __future__ import annotations

from shadownb.errors import ExportError, ModelError

REWARD = "reward"  # the kind of its trained state


def gives_no_text(what: str) -> ModelError:
    """Return the error for a reward model that is asked for text."""
    return ModelError(
        f"{what} is a reward model: it scores answers and gives no text.",
        why="It was trained to give one number for a conversation, so what its language head would say means nothing.",
        fix="Score with snb.RewardModel(model_or_run).score(prompt, answers), ask the base with use='base', or train it "
        "anew with start='base'.",
    )


def not_written_as_text(what: str) -> ExportError:
    """Return the error for a reward model that is to be written as a model of texts."""
    return ExportError(
        f"{what}: this is a reward model, which gives a number and no text.",
        why="A file of that format would be loaded as a model that answers.",
        fix="Use model.save(path), and snb.RewardModel(path) to score with it.",
    )
