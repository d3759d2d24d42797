"""What a run tells about the model's chat template and its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.rendering.fit import Fit
    from shadownb.engine.runs.services import RunServices


def tell(services: RunServices, fit: Fit, unit: str) -> None:
    """Warn of what the template leaves out, and of turns that nothing can train."""
    for what, why, fix, code in fit.told(unit):
        services.warn(what, why=why, fix=fix, code=code)


def nothing_to_train(name: str, fit: Fit, cut: int, limit: int, remedy: str) -> DataError:
    """Return the error for a data set without a token to train, with the reason that is true."""
    looked = "look at the rows with dataset.inspect(model)"
    if fit.untrainable_turns and not cut:
        _, why, fix, code = next(told for told in fit.told() if told[3] == "turns-untrainable")
        return DataError(f"No row of {name!r} has a token to train.", why=why, fix=fix, code=code)
    if cut:
        return DataError(
            f"No row of {name!r} has a token to train.",
            why=f"Each was cut off at max_length={limit} before its first trained token.",
            fix=f"{remedy}, or {looked}.",
        )
    return DataError(
        f"No row of {name!r} has a token to train.",
        why="No row has an assistant turn that counts: each is empty, or has weight 0.",
        fix=f"Add replies to the rows, or {looked}.",
    )
