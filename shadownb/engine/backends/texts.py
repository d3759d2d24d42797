"""Errors that every backend of ours says in the same words."""

from __future__ import annotations

from shadownb.errors import NonFiniteLossError


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
