"""Who is signed in to the hub. The token lies where the hub's own client keeps it, and nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass

from shadownb.engine.hub.refusals import explain
from shadownb.errors import ConfigError

_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


@dataclass(frozen=True)
class Account:
    """What is known of the account without asking the hub.

    Attributes
    ----------
    signed_in
        Whether there is a token.
    source
        Where it comes from: the name of a variable of the environment, ``the hub's own file``, or empty.
    """

    signed_in: bool
    source: str


def account() -> Account:
    """Return whether there is a token for the hub, and where from; the token itself is not returned."""
    from huggingface_hub import get_token

    if get_token() is None:
        return Account(False, "")
    return Account(True, next((name for name in _VARIABLES if os.environ.get(name)), "the hub's own file"))


def sign_in(token: str) -> str:
    """Check a token with the hub, keep it in the hub client's own file, and return the name of its user.

    Raises
    ------
    ConfigError
        The hub does not know it, or cannot be reached: then nothing is kept.
    """
    from huggingface_hub import login, whoami

    given = token.strip()
    if not given:
        raise ConfigError("The token is empty.", fix="Make one at https://huggingface.co/settings/tokens.")
    try:
        login(token=given, add_to_git_credential=False)
        return str(whoami(token=given)["name"])
    except Exception as error:
        # Nothing of it may stand in a message, wherever that is shown.
        why = (str(error).strip().splitlines() or [type(error).__name__])[0].replace(given, "the token")
        offline = explain("the token", error).code == "model-offline"
        raise ConfigError(
            "The hub cannot be asked, so the token was not kept." if offline else "The hub does not accept this token.",
            why=why,
            fix="Unset HF_HUB_OFFLINE or check the network, and sign in again."
            if offline
            else "Make one that may read at https://huggingface.co/settings/tokens.",
        ) from None


def sign_out() -> None:
    """Delete the tokens that the hub's client keeps. Raises ConfigError where one of the environment stays."""
    from huggingface_hub import logout

    found = account()
    if found.source in _VARIABLES:
        raise ConfigError(
            f"The token comes from {found.source}, which is not kept on this disk.", fix=f"Unset {found.source}."
        )
    logout()
