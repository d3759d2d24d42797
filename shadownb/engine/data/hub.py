"""Rows from the Hugging Face hub, with errors that say which of offline, missing, gated and wrong split it is."""

from __future__ import annotations

from typing import Any

from shadownb.engine.data.loaded import Loaded, from_arrow
from shadownb.engine.progress_bars import DATASETS, HUB, without_bars
from shadownb.errors import DataError, MissingDependencyError


def read_hub(repo: str, *, subset: str | None, split: str, token: str | None, limit: int | None) -> Loaded:
    """Download one split of a hub data set. Raises :class:`DataError` with what to do next."""
    try:
        import datasets
    except ImportError:
        raise MissingDependencyError(
            f"Loading {repo!r} from the hub needs the datasets package.", fix="pip install datasets"
        ) from None
    wanted = split if limit is None else f"{split}[:{limit}]"
    try:
        with without_bars(DATASETS, HUB):
            found: Any = datasets.load_dataset(repo, name=subset, split=wanted, token=token)
    except Exception as error:
        raise explain(repo, subset, split, error) from error
    return from_arrow(found, "row", 1)


def explain(repo: str, subset: str | None, split: str, error: Exception) -> DataError:
    """Return the typed error for what the hub client raised."""
    chain = _chain(error)
    names = {type(link).__name__ for link in chain}
    text = str(error).strip().split("\n")[0]
    if names & {"GatedRepoError"} or "gated" in text.lower():
        return DataError(
            f"The hub data set {repo!r} is gated.",
            why=text,
            fix="Accept its terms on its page, then pass token=... or log in with 'hf auth login'.",
            code="data-gated",
        )
    offline = {
        "OfflineModeIsEnabled",
        "LocalEntryNotFoundError",
        "ConnectError",
        "ConnectTimeout",
        "ConnectionError",
        "ReadTimeout",
        "ProxyError",
        "gaierror",
        "MaxRetryError",
    }
    if names & offline or "offline" in text.lower() or "couldn't reach" in text.lower():
        return DataError(
            f"The hub cannot be reached, so {repo!r} cannot be downloaded.",
            why=text,
            fix="Check the connection, or load a local file with Dataset.load(path).",
            code="data-offline",
        )
    if names & {"RepositoryNotFoundError", "DatasetNotFoundError"}:
        return DataError(
            f"The hub has no data set {repo!r} that this account may read.",
            why=text,
            fix="Check the spelling (owner/name); for a private one pass token=....",
            code="data-not-found",
        )
    return DataError(
        f"{repo!r} (subset {subset!r}, split {split!r}) cannot be loaded from the hub.",
        why=f"{type(error).__name__}: {text}",
        fix="Check subset= and split=; data sets that need their own code are not run.",
    )


def _chain(error: BaseException | None) -> list[BaseException]:
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links
