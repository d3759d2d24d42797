"""Export: what ``model.export`` returns, as a table, a picture of quality against size, and a recommendation."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.exports.quality import Quality

if TYPE_CHECKING:
    from shadownb.engine.exports.hub import Pushed

REPORT = "export.json"
_HEADS = ("format", "MB", "KL", "same token", "perplexity", "tokens/s", "load", "memory", "score")


@dataclass(frozen=True)
class Export:
    """What was written, and how good it is.

    Attributes
    ----------
    path
        The folder.
    format
        ``gguf``, ``merged``, ...
    files
        Names of the files in it.
    quality
        What was measured, of the file itself first and then of those that it was compared with.
    recommendation
        Which of them to take and why; empty where nothing was compared.
    reference
        What they were measured against.
    notes
        What is to be known of it, in sentences.

    Examples
    --------
    >>> exported = model.export("triage-gguf", format="gguf", quant="q8_0", dataset=rows[:8])
    >>> exported.format, exported.quality[0].name, exported.quality[0].kl < 0.05
    ('gguf', 'q8_0', True)
    >>> exported.size > 100_000, exported.rows()[0]["format"], sorted(exported.to_dict())[:3]  # bytes; the table; as JSON
    (True, 'q8_0', ['files', 'format', 'notes'])
    >>> exported.plot().layout.xaxis.title.text
    'size in MB'
    >>> snb.load(exported.path, backend="llamacpp").generate("I paid twice.", temperature=0)
    'billing'
    """

    path: Path
    format: str
    files: tuple[str, ...]
    quality: tuple[Quality, ...] = ()
    recommendation: str = ""
    reference: str = ""
    notes: tuple[str, ...] = field(default=())

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum((self.path / name).stat().st_size for name in self.files if (self.path / name).is_file())

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "format": self.format,
            "files": list(self.files),
            "reference": self.reference,
            "quality": [each.to_dict() for each in self.quality],
            "recommendation": self.recommendation,
            "notes": list(self.notes),
        }

    def rows(self) -> list[dict[str, str]]:
        """Return the table of what was measured, one dict a file, as texts."""
        return [dict(zip(_HEADS, _cells(each), strict=True)) for each in self.quality]

    def plot(self) -> Any:
        """Return a plotly figure: KL to the model against size, each file a point."""
        import plotly.graph_objects as go

        shown = [each for each in self.quality if each.kl is not None]
        figure = go.Figure(
            go.Scatter(
                x=[each.size / 1e6 for each in shown],
                y=[max(each.kl or 0.0, 1e-7) for each in shown],
                text=[each.name for each in shown],
                mode="markers+text",
                textposition="top center",
                hovertemplate="%{text}: %{x:,.0f} MB, KL %{y:.3g}<extra></extra>",
            )
        )
        figure.update_layout(
            xaxis_title="size in MB", yaxis_title="KL to the model, nats a token", yaxis_type="log", showlegend=False
        )
        return figure

    def __str__(self) -> str:
        lines = [f"{self.format} in {self.path}: {', '.join(self.files)} ({self.size / 1e6:,.1f} MB)"]
        if self.quality:
            table = [_HEADS, *(_cells(each) for each in self.quality)]
            kept = [n for n in range(len(_HEADS)) if any(row[n] for row in table[1:])]
            widths = [max(len(row[n]) for row in table) for n in kept]
            lines += [
                "  ".join(row[n].ljust(width) for n, width in zip(kept, widths, strict=True)).rstrip() for row in table
            ]
        lines += [text for text in (self.recommendation, *self.notes) if text]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head = f"<div><b>{escape(self.format)}</b> in <code>{escape(str(self.path))}</code>, {self.size / 1e6:,.1f} MB</div>"
        table = ""
        if self.quality:
            rows = [_cells(each) for each in self.quality]
            kept = [n for n in range(len(_HEADS)) if any(row[n] for row in rows)]
            heads = "".join(f"<th>{_HEADS[n]}</th>" for n in kept)
            body = "".join(f"<tr>{''.join(f'<td>{escape(row[n])}</td>' for n in kept)}</tr>" for row in rows)
            table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
        said = "".join(f"<p>{escape(text)}</p>" for text in (self.recommendation, *self.notes) if text)
        return head + table + said

    def push_to_hub(self, repo: str, *, private: bool = True, dry_run: bool = True) -> Pushed:
        """Upload the files, card included, to a repository of the Hugging Face hub.

        Parameters
        ----------
        repo
            ``owner/name``; made where it is not there yet.
        private
            Whether a new repository is private.
        dry_run
            Only say what would be sent; nothing goes over the network. False sends it.

        Raises
        ------
        ConfigError
            ``repo`` is no ``owner/name``.
        ExportError
            The hub refused it, or cannot be reached; the message says which.

        Examples
        --------
        >>> exported = model.export("triage-hub", quant="q8_0", report=False)
        >>> print(exported.push_to_hub("me/triage"))
        Would be sent to me/triage (private): ... files, ... MB.
        ...
        """
        from shadownb.engine.exports.hub import push

        return push(self, repo, private=private, dry_run=dry_run)


def write_report(exported: Export) -> None:
    """Write what was measured beside the files."""
    from shadownb.engine.disk import write_atomically

    write_atomically(exported.path / REPORT, json.dumps(exported.to_dict(), indent=1, default=str))


def _cells(each: Quality) -> tuple[str, ...]:
    return (
        each.name,
        f"{each.size / 1e6:,.1f}",
        "" if each.kl is None else f"{each.kl:.2g}",
        "" if each.top1 is None else f"{100 * each.top1:.1f} %",
        "" if each.perplexity is None else f"{each.perplexity:.3f}",
        "" if each.tokens_per_second is None else f"{each.tokens_per_second:,.0f}",
        "" if each.load_seconds is None else f"{each.load_seconds:.1f} s",
        "" if each.memory is None else f"{each.memory / 1e6:,.0f} MB",
        "" if each.score is None else f"{each.score.value:.3f} ({each.difference})",
    )
