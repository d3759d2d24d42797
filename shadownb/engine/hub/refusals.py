"""Why a model of the hub cannot be had: offline, gated, unknown, or a full disk; the libraries' messages mix these."""

from __future__ import annotations

import os

from shadownb.engine.disk import is_full
from shadownb.errors import DiskFullError, ModelError, ModelNotFoundError, ShadowError

# Names of what the clients raise where nobody answers.
NO_ANSWER = {
    "ConnectError",
    "ConnectTimeout",
    "ConnectionError",
    "ReadTimeout",
    "ProxyError",
    "gaierror",
    "MaxRetryError",
}
_SIGN_IN = "sign in (shadownb models login, or the Train panel's list of all models)"


def explain(name: str, error: BaseException) -> ShadowError:
    """Return the typed error for what the hub's client raised about a model."""
    chain = chain_of(error)
    kinds = {kind.__name__ for link in chain for kind in type(link).__mro__}
    text = " ".join(str(link) for link in chain)
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if any(is_full(link) for link in chain):
        return DiskFullError(
            f"{name!r} does not fit on the disk.",
            why=first,
            fix="Free disk space, or set HF_HUB_CACHE to a larger disk.",
        )
    no_answer = bool(kinds & NO_ANSWER) or "couldn't connect" in text
    absent = no_answer or "LocalEntryNotFoundError" in kinds
    if "OfflineModeIsEnabled" in kinds or (absent and switched_off()):
        return ModelNotFoundError(
            f"{name!r} is not on this machine, and HF_HUB_OFFLINE is set, so nothing is fetched.",
            why=first,
            fix="Unset HF_HUB_OFFLINE and restart the kernel, or give a folder. shadownb.models() shows what is here.",
            code="model-offline",
        )
    # The client's words for an unknown one are that it may be private or gated.
    unknown = "RepositoryNotFoundError" in kinds and "GatedRepoError" not in kinds
    if "GatedRepoError" in kinds or ("gated" in text.lower() and not unknown):
        return ModelError(
            f"{name!r} is gated on the hub.",
            why=first,
            fix=f"Accept its terms on its page there, then {_SIGN_IN}, or set HF_TOKEN.",
            code="model-gated",
        )
    if absent:
        return ModelNotFoundError(
            f"{name!r} is not on this machine, and the hub cannot be reached.",
            why=first,
            fix="Check the network, or give a folder. shadownb.models() shows what is here.",
            code="model-offline",
        )
    if unknown or "401" in text or "403" in text:
        return ModelNotFoundError(
            f"The hub has no model {name!r} that this account may read.",
            why=first,
            fix=f"Check the spelling (owner/name); for a private one {_SIGN_IN}.",
        )
    return ModelNotFoundError(
        f"{name!r} is not on this machine and could not be fetched from the hub.",
        why=first,
        fix="Check the name and the network, or give a folder. shadownb.models() shows what is here.",
    )


def switched_off() -> bool:
    """Whether HF_HUB_OFFLINE forbids asking the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def chain_of(error: BaseException | None) -> list[BaseException]:
    """Return an error and what it came of, the first last."""
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links
