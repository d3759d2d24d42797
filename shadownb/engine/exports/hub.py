"""Uploading an export to the Hugging Face hub: what would be sent is said first, and a new repository is private."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shadownb.errors import ConfigError, ExportError

_REPO = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Pushed:
    """What was sent, or would be.

    Attributes
    ----------
    repo, private
        Where to, and whether a new repository is private.
    files
        Names with their bytes.
    sent
        Whether anything went over the network.
    url
        Of the repository, once it was sent.
    """

    repo: str
    private: bool
    files: tuple[tuple[str, int], ...]
    sent: bool = False
    url: str = ""

    def __str__(self) -> str:
        total = sum(size for _, size in self.files)
        who = "private" if self.private else "public"
        said = f"Sent to {self.url}" if self.sent else f"Would be sent to {self.repo} ({who})"
        lines = [f"{said}: {len(self.files)} files, {total / 1e6:,.1f} MB."]
        lines += [f"  {name}  {size:,} bytes" for name, size in self.files]
        return "\n".join(lines if self.sent else [*lines, "push_to_hub(..., dry_run=False) sends them."])

    __repr__ = __str__


class Exported(Protocol):
    """What is pushed: files of a folder."""

    @property
    def path(self) -> Path: ...
    @property
    def files(self) -> tuple[str, ...]: ...


def push(exported: Exported, repo: str, *, private: bool, dry_run: bool) -> Pushed:
    """Send the files of an export; see :meth:`Export.push_to_hub`."""
    if not _REPO.fullmatch(repo):
        raise ConfigError(f"repo={repo!r} is no repository of the hub.", fix="Give 'owner/name'.")
    files = tuple((name, (exported.path / name).stat().st_size) for name in exported.files)
    if dry_run:
        return Pushed(repo, private, files)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    api = HfApi()
    try:
        url = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            folder_path=exported.path,
            allow_patterns=list(exported.files),
            commit_message="Export of ShadowNB",
        )
    except OfflineModeIsEnabled as error:
        raise ExportError("HF_HUB_OFFLINE is set, so nothing was sent.", fix="Unset it, and push again.") from error
    except HfHubHTTPError as error:
        raise ExportError(
            f"The hub refused {repo!r}.",
            why=str(error).splitlines()[0],
            fix="Log in with hf auth login, or set HF_TOKEN.",
        ) from error
    except OSError as error:  # every failure of the connection is one
        raise ExportError(
            f"The hub could not be reached for {repo!r}.",
            why=str(error).splitlines()[0],
            fix="Look at the network, push again.",
        ) from error
    return Pushed(repo, private, files, sent=True, url=str(url))
