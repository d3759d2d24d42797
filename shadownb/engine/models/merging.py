"""``shadownb.merge``: several trained models made one."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shadownb.engine.disk import saving
from shadownb.engine.evals.evaluation import Contender, evaluate
from shadownb.engine.evals.suites import get
from shadownb.engine.loaded import sidecar
from shadownb.engine.loaded.backends import DEFAULT, backend, description_in
from shadownb.engine.models.loading import load
from shadownb.engine.models.saving import replacing
from shadownb.engine.models.sources import resolve
from shadownb.engine.ports.model_files import Combines, Mix
from shadownb.engine.runs.results import result_of
from shadownb.engine.runs.store import default_store
from shadownb.errors import ConfigError, RunError, did_you_mean


def merge(
    sources: Sequence[Any],
    path: str | Path,
    method: str | None = None,
    *,
    weights: Sequence[float] | None = None,
    density: float = 0.5,
    base: Any = None,
    seed: int = 0,
    suites: Any = None,
    limit: int | None = None,
) -> Path:
    """Make one model of several that were trained from one base, and return the folder it is written to.

    Whether it is better than what it was made of is for suites to say: give ``suites``, and its parts and it answer the same.

    Parameters
    ----------
    sources
        Two or more runs, ids of runs, or folders: all LoRA adapters, or all whole models.
    method
        Of adapters, as peft has them: ``cat`` (what they add, summed exactly; ranks add up), ``linear`` (the sums of both factors
        alone, in which two halves of one adapter come out as twice that adapter), ``svd``, ``ties``, ``ties_svd``, ``dare_linear``,
        ``dare_ties`` and the last two with ``_svd``. Of whole models: ``linear``, ``slerp`` (two), ``ties``, ``dare_linear``,
        ``dare_ties``. None is ``cat`` or ``linear``.
    weights
        How much each counts; one each by default.
    density
        Share of the changes that TIES and DARE keep.
    base
        What whole models were trained from: a name or a folder. TIES and DARE need it.
    seed
        Of what DARE drops.
    suites
        What :func:`shadownb.evaluate` asks the parts and what was made of them, once it is written; the table with intervals is
        printed, and lies beside the model as ``evaluation.md``.
    limit
        Only so many items of each suite.

    Raises
    ------
    ConfigError
        There are not two sources, they are of different kinds, or an option is not known.
    ModelError
        They do not fit each other.

    Examples
    --------
    >>> one = model.save("one-adapter")
    >>> merged = snb.merge([one, run], "merged-adapter", weights=[0.5, 0.5])
    >>> snb.load(run.base_model, adapter=merged).generate("I paid twice.", temperature=0)
    'billing'
    """
    folders = [_folder(each) for each in sources]
    if len(folders) < 2:
        raise ConfigError(f"merge() makes one of several, and {len(folders)} was given.", fix="Give two or more.")
    kinds = {description_in(folder) is not None for folder in folders}
    if len(kinds) > 1:
        raise ConfigError(
            "merge() was given adapters and whole models.",
            fix="Give one kind; model.save(fmt='merged') makes whole ones.",
        )
    combining = backend()
    assert isinstance(combining, Combines), "the backend that every installation has merges models"
    known = combining.adapter_ways if kinds == {True} else combining.whole_ways
    if method is None:
        method = "cat" if kinds == {True} else "linear"
    if method not in known:
        raise ConfigError(
            f"method={method!r} is not known.{did_you_mean(method, known)}", fix=f"Use one of {', '.join(known)}."
        )
    if not 0 < density <= 1:
        raise ConfigError(f"density={density!r} is out of range.", fix="Give a share above 0, at most 1.")
    factors = list(weights) if weights is not None else [1.0] * len(folders)
    if len(factors) != len(folders):
        raise ConfigError(f"weights= has {len(factors)} entries for {len(folders)} sources.", fix="Give one each.")
    if suites is not None:
        for suite in suites if isinstance(suites, (list, tuple)) else [suites]:
            get(suite)  # raises now, rather than after the work
    target, mix = Path(path).expanduser(), Mix(method, factors, density, seed)
    with saving(target), replacing(target, ("config.json", "adapter_config.json")) as folder:
        if kinds == {True}:
            model = load(str(folders[0]), backend=DEFAULT, dtype="float32")
            model.detach_adapter()
            combining.combine_adapters(model, folders, folder, mix)
            model.save_tokenizer(folder)
        else:
            start = Path(resolve(str(base)).location) if base is not None else None
            combining.combine_whole(folders, start, folder, mix)
        sidecar.write(folder, trained_on=sidecar.trained_on(folders[0]))
    if suites is not None:
        names = [Path(getattr(source, "id", source)).name for source in (*sources, target)]
        _judge(dict(zip(_told_apart(names), (*folders, target), strict=True)), suites, limit, adapters=kinds == {True})
    return target


def _judge(folders: dict[str, Path], suites: Any, limit: int | None, *, adapters: bool) -> None:
    """Let the parts and, at the end, what was made of them answer the same, and say who did how well."""
    made = [*folders.values()][-1]
    held: list[Any] = []
    try:
        for folder in [made] if adapters else folders.values():
            held.append(load(str(folder), backend=DEFAULT))
        sides = (
            [Contender(held[0], use=str(folder)) for folder in folders.values()]
            if adapters
            else [Contender(model, use="base") for model in held]
        )
        found = evaluate(dict(zip(folders, sides, strict=True)), suites, limit=limit)
    finally:
        for model in held:
            model.unload()
    found.to_markdown(made / "evaluation.md")
    print(found)


def _told_apart(names: list[str]) -> list[str]:
    return [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, start=1)]


def _folder(source: Any) -> Path:
    """Return where the result of a run lies, or a folder."""
    asked = getattr(source, "id", source)
    path = Path(asked).expanduser()
    if path.is_dir():
        return path.resolve()
    with contextlib.suppress(RunError):
        return result_of(default_store().find(str(asked))).path
    raise ConfigError(
        f"merge(): {source!r} is neither a run nor a folder.", fix="Give a run's id, or what model.save wrote."
    )
