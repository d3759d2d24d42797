"""Rows from the Hugging Face hub, with errors that say which of offline, missing, gated and wrong split it is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from shadownb.engine.data.loaded import Loaded, from_arrow
from shadownb.engine.hub.refusals import NO_ANSWER, chain_of
from shadownb.engine.progress_bars import DATASETS, HUB, without_bars
from shadownb.errors import DataError, MissingDependencyError


def read_hub(repo: str, *, subset: str | None, split: str, token: str | None, limit: int | None) -> Loaded:
    """Download one split of a hub data set. Raises :class:`DataError` with what to do next."""
    datasets = _datasets(repo)
    wanted = split if limit is None else f"{split}[:{limit}]"
    try:
        with without_bars(DATASETS, HUB):
            found: Any = datasets.load_dataset(repo, name=subset, split=wanted, token=token)
    except Exception as error:
        raise explain(repo, subset, split, error) from error
    return from_arrow(found, "row", 1)


@dataclass(frozen=True)
class Listed:
    """A data set of the hub, as a search finds it."""

    repo: str
    downloads: int
    likes: int
    gated: bool
    about: str = ""


def search_hub(query: str, *, limit: int = 20, token: str | None = None) -> list[Listed]:
    """Return data sets whose names have these words, the most downloaded first.

    Raises
    ------
    DataError
        The hub cannot be reached.
    """
    from huggingface_hub import HfApi

    try:
        found = list(HfApi(token=token).list_datasets(search=query, sort="downloads", limit=limit))
    except Exception as error:
        raise explain(query, None, "", error) from error
    return [
        Listed(
            each.id,
            each.downloads or 0,
            each.likes or 0,
            bool(each.gated),
            " ".join((getattr(each, "description", None) or "").split())[:200],
        )
        for each in found
    ]


def preview_hub(repo: str, *, subset: str | None = None, split: str = "", rows: int = 5) -> dict[str, Any]:
    """Return the subsets and splits of a data set of the hub and its first rows, without downloading it whole.

    Returns
    -------
    dict
        ``subsets``, ``subset``, ``splits``, ``split`` and ``rows``.

    Raises
    ------
    DataError
        It cannot be reached, is gated, does not exist, or needs code of its own.
    """
    datasets = _datasets(repo)
    try:
        with without_bars(DATASETS, HUB):
            subsets = datasets.get_dataset_config_names(repo)
            chosen = subset if subset in subsets else subsets[0]
            splits = [str(name) for name in datasets.get_dataset_split_names(repo, chosen)]
            part = split if split in splits else splits[0]
            stream: Any = datasets.load_dataset(repo, name=chosen, split=part, streaming=True)
            first = list(islice(stream, rows))
    except Exception as error:
        raise explain(repo, subset, split, error) from error
    return {"subsets": subsets, "subset": chosen, "splits": splits, "split": part, "rows": first}


def _datasets(repo: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingDependencyError(
            f"Loading {repo!r} from the hub needs the datasets package.", fix="pip install datasets"
        ) from None
    return datasets


def explain(repo: str, subset: str | None, split: str, error: Exception) -> DataError:
    """Return the typed error for what the hub client raised."""
    chain = chain_of(error)
    names = {type(link).__name__ for link in chain}
    text = str(error).strip().split("\n")[0]
    # The client's words for an unknown one are that it may be private or gated.
    unknown = "RepositoryNotFoundError" in names and "GatedRepoError" not in names
    if "GatedRepoError" in names or ("gated" in text.lower() and not unknown):
        return DataError(
            f"The hub data set {repo!r} is gated.",
            why=text,
            fix="Accept its terms on its page, then pass token=... or log in with 'hf auth login'.",
            code="data-gated",
        )
    if (
        names & {"OfflineModeIsEnabled", "LocalEntryNotFoundError", *NO_ANSWER}
        or "offline" in text.lower()
        or "couldn't reach" in text.lower()
    ):
        return DataError(
            f"The hub cannot be reached, so {repo!r} cannot be downloaded.",
            why=text,
            fix="Check the connection, or load a local file with Dataset.load(path).",
            code="data-offline",
        )
    if unknown or "DatasetNotFoundError" in names:
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
