"""The template certificate of the chosen model, for the Train panel's card."""

from __future__ import annotations

from typing import Any

from ._base import as_card
from ._worker import Background

NO_CERTIFICATE: dict[str, Any] = {"stage": "none"}


def follow(panel: Any, heavy: Background, model: Any) -> None:
    """Keep the panel's trait ``certificate`` as it follows from a model; None takes it away.

    It takes about half a second, so it waits behind all other work of the panel.
    """
    heavy.cancel("certificate")
    if model is None:
        panel.write(certificate=NO_CERTIFICATE)
        return
    panel.write(certificate={"stage": "loading"})
    heavy.submit(
        "certificate",
        lambda: model.certify().to_dict(),
        lambda found: panel.write(certificate={**found, "stage": "ready"}),
        lambda error: panel.write(certificate={"stage": "failed", "error": as_card(error)}),
        later=True,
    )
