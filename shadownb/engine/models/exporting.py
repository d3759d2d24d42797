"""Exporting a model: written as :mod:`.saving` writes, measured by the engine that will run it, with a card beside it."""

from __future__ import annotations

import contextlib
import inspect
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import live, registry
from shadownb.engine.exporters.calibration import rendered, rows_of_run
from shadownb.engine.exporters.modelfile import write_modelfile
from shadownb.engine.exports import card
from shadownb.engine.exports.measuring import measured, score_all
from shadownb.engine.exports.quality import Quality, Reference
from shadownb.engine.exports.recommending import recommended
from shadownb.engine.exports.result import REPORT, Export, write_report
from shadownb.engine.gguf.types import KINDS
from shadownb.engine.loaded import sidecar
from shadownb.engine.loaded.rewarding import REWARD, not_written_as_text
from shadownb.engine.models.saving import kind_of, save
from shadownb.engine.runs.store import default_store
from shadownb.errors import ConfigError, RunError, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.ports.exporter import Exporter


@dataclass(frozen=True)
class Asked:
    """A format with its options."""

    format: str
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """What it is called in tables."""
        told = self.options.get("quant") or (f"{self.options['bits']}-bit" if self.options.get("bits") else None)
        if self.format == "gguf":
            return str(told or "q8_0").lower()
        return " ".join(filter(None, (self.format, told or self.options.get("dtype"), self.options.get("rounding"))))

    def exporter(self) -> Exporter:
        """Make what writes it; an option that the format does not take is refused."""
        kind = kind_of(self.format, "format")
        known = [name for name in inspect.signature(kind).parameters]
        for name in self.options:
            if name not in known:
                raise ConfigError(
                    f"{name}= is not an option of format={self.format!r}.{did_you_mean(name, known)}",
                    fix=f"It takes {', '.join(known)}." if known else "It takes none.",
                )
        return kind(**self.options)


def _outcome(found: Export) -> str:
    return f"Exported {found.format} to {found.path}, {found.size / 1e6:,.1f} MB"


@live.shown(lambda *_, **__: "Exporting", _outcome)
def export(
    model: LoadedModel,
    path: Path,
    format: str,
    *,
    compare: Sequence[Any],
    dataset: Any,
    scorer: Any,
    report: bool,
    **options: Any,
) -> Export:
    """Write a loaded model in a format; see :meth:`shadownb.Model.export`."""
    first = Asked(format, options)
    others = [_asked(each) for each in compare]
    if model.weights.kind == REWARD and format != "adapter":
        raise not_written_as_text(f"format={format!r}")
    for each in (first, *others):
        each.exporter().check(model)  # so that nothing is written where the last of several cannot be
    if scorer is not None and isinstance(scorer, str):
        registry.target("scorer", scorer)
    rows = dataset if dataset is not None else rows_of_run(model, "eval_dataset")
    if (scorer is not None or compare) and rows is None:
        raise ConfigError(
            f"{'scorer' if scorer is not None else 'compare'}= needs rows to measure on, and this model's run held none out.",
            fix="Give some that it was not trained on: dataset=rows.",
        )
    save(model, path, format, first.exporter(), lambda folder: _beside(model, folder, format))
    notes = [*_notes(model, dataset, rows)]
    quality: list[Quality] = []
    reference = ""
    if report and rows is not None:
        try:
            live.tell("measuring the model itself")
            known = Reference(model, rendered(model, rows, most=200))
            reference = f"{model.name} in {known.format}, {sum(row.predicted_tokens for row in known.rows):,} tokens"
            quality = _measured_all(model, path, first, others, known, rows, scorer)
        except live.Stopped:  # the files are whole already
            notes = ["It was stopped while it was measured; the files are whole."]
    elif report:
        notes.append("Nothing was measured: no rows were held out. dataset=rows measures the file on rows of yours.")
    notes += [note for each in quality for note in each.notes]
    why = recommended(quality)[1] if len(quality) > 1 else ""
    found = Export(path, format, _files(path), tuple(quality), why, reference, tuple(notes))
    card.write(found, model)
    write_report(found)
    sidecar.add_files(path, {*_files(path), REPORT, card.FILE})
    return Export(path, format, _files(path), found.quality, why, reference, found.notes)


def _asked(each: Any) -> Asked:
    if isinstance(each, dict):
        options = dict(each)
        return Asked(str(options.pop("format", "gguf")), options)
    name = str(each).lower()
    return Asked("gguf", {"quant": name}) if name in KINDS else Asked(str(each), {})


def _beside(model: LoadedModel, folder: Path, format: str) -> None:
    """Write what an engine wants beside the weights."""
    files = sorted(file.name for file in folder.glob("*.gguf"))
    if files:
        on = f"./{model.name}-f16.gguf" if format == "gguf-lora" else None
        write_modelfile(model, folder, files[0], adapter_on=on)


def _files(path: Path) -> tuple[str, ...]:
    return tuple(sorted(sidecar.files_in(path) - {sidecar.RECORD}))


def _notes(model: LoadedModel, given: Any, rows: Any) -> Iterator[str]:
    if given is None and rows is not None:
        yield "Measured on the rows that the run held out."
    trained = model.trained
    if trained is not None and model.quantization is None:
        with contextlib.suppress(RunError):  # a run of another machine tells nothing
            held = default_store().find(trained[0]).spec["model"].get("quantization")
            if held:
                yield (
                    f"It was trained on a {held} base and is exported on the unquantised one, whose answers differ; figures are "
                    "against the unquantised one."
                )


def _measured_all(
    model: LoadedModel, path: Path, first: Asked, others: list[Asked], known: Reference, rows: Any, scorer: Any
) -> list[Quality]:
    aside = path.parent / f".comparing-{uuid.uuid4().hex[:8]}"
    places = [(first, path)]
    try:
        for number, each in enumerate(others):
            live.tell(f"writing {each.name}")
            place = aside / str(number)
            save(model, place, each.format, each.exporter())
            places.append((each, place))
        found = [measured(model, each.name, each.format, place, known) for each, place in places]
        if scorer is not None:
            live.tell("scoring answers")
            found = score_all(model, found, [(each.format, place) for each, place in places], rows, scorer)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return found
