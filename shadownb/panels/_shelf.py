"""Models to choose from in the Train panel: what each is and needs, what of it lies on the disk, and which are in memory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._stores import loaded_models

if TYPE_CHECKING:
    from shadownb.engine.hub.download import Download


def shelf(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the catalogue with fit and disk use, other models of the hub's cache, and those in memory; walks the cache."""
    from shadownb.engine import hardware
    from shadownb.engine.hub.account import account
    from shadownb.engine.models.catalog import catalog, hub_cache
    from shadownb.engine.models.fitting import fit
    from shadownb.engine.models.shelf import cached_models

    found = hardware.detect()
    cached = {each.hub_id: each for each in cached_models()}
    entries = []
    for info in catalog():
        fits, kept = fit(info, found), cached.pop(info.hub_id, None)
        there = "here" if info.cached else "partly here" if kept is not None else "to download"
        entries.append(
            {
                "name": info.name,
                "title": info.title,
                "hub_id": info.hub_id,
                "parameters": info.parameters,
                "download_gb": info.size_gb,
                "licence": info.licence,
                "gated": info.gated,
                "context": info.context,
                "tools": info.tools,
                "thinking": info.thinking,
                "unchecked": list(info.unchecked),
                "there": there,
                "disk_gb": kept.size / 1e9 if kept is not None else None,
                "fits": fits.how,
                "reason": fits.reason,
            }
        )
    place = next((folder for folder in (hub_cache(), *hub_cache().parents) if folder.is_dir()), Path.cwd())
    known = account()
    return {
        "account": {"signed_in": known.signed_in, "source": known.source},
        "offline": _offline(),
        "entries": entries,
        "others": [{"hub_id": name, "disk_gb": each.size / 1e9, "whole": each.whole} for name, each in cached.items()],
        "held": held(namespace),
        "free_gb": shutil.disk_usage(place).free / 1e9,
    }


def held(namespace: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the models in memory, by what code calls them, with the bytes of their bases."""
    return [
        {
            "choice": choice,
            "title": title,
            "gb": model.weights.base_bytes / 1e9,
            "pinned": model.pinned,
            "busy": model.active_run is not None,
        }
        for choice, (title, model) in loaded_models(namespace).items()
        if model.is_loaded
    ]


def room(name: str, options: Mapping[str, Any], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return what memory is short of before a model is loaded, with the models that could make room; empty if it is not."""
    from shadownb.engine.models.room import shortage, size_of

    there = loaded_models(namespace)
    short = shortage(name, options, {choice: model for choice, (_, model) in there.items()})
    if short is None:
        return {}
    return {
        "needed_gb": short.needed_gb,
        "free_gb": short.free_gb,
        "enough": short.enough,
        "offers": [
            {"choice": choice, "title": there[choice][0], "gb": size_of(there[choice][1])} for choice in short.offers
        ],
    }


def as_row(download: Download) -> dict[str, Any]:
    """Return a download as the page shows it."""
    words, here, total = download.progress()
    return {"hub_id": download.hub_id, "words": words, "share": here / total if total else None}


def _offline() -> str:
    """Return why nothing can be fetched, or an empty text; whether the network is there shows when it is tried."""
    from shadownb.engine.hub.refusals import switched_off

    return "HF_HUB_OFFLINE is set, so nothing can be fetched." if switched_off() else ""
