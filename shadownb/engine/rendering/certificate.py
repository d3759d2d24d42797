"""A certificate of a chat template: one page that proves on probes what the model sees of a row, and what is trained of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Literal

from shadownb.engine.rendering.proofs import PROOFS, Subject
from shadownb.engine.rendering.renderer import Renderer
from shadownb.errors import DataError

Status = Literal["pass", "fail", "n/a"]
MARKS: dict[Status, str] = {"pass": "✓", "fail": "✗", "n/a": "–"}
_WORDS: dict[Status, str] = {"pass": "✓ pass", "fail": "✗ fail", "n/a": "– n/a"}
_SHOWN = 160
_CELL = "text-align:left;vertical-align:top;padding:.15em 1em .15em 0;background:none"


@dataclass(frozen=True)
class Proof:
    """One thing that was tried on the template.

    Attributes
    ----------
    name
        Short, as in the table of the documentation: ``system``, ``stop token``, ...
    claim
        What is true where it passes.
    status
        ``pass``, ``fail``, or ``n/a`` where the question does not arise.
    reason
        Why.
    example
        What the template made of the probe, where that says more.
    """

    name: str
    claim: str
    status: Status
    reason: str
    example: str = ""


@dataclass(frozen=True)
class Certificate:
    """What was proven of a model's chat template.

    Attributes
    ----------
    model
        Whose template it is.
    template_source, template_reason
        Which template is used, and why.
    proofs
        One for each claim, in a fixed order.
    """

    model: str
    template_source: str
    template_reason: str
    proofs: tuple[Proof, ...]

    @property
    def ok(self) -> bool:
        """Whether no proof failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Proof, ...]:
        """The proofs that failed."""
        return tuple(proof for proof in self.proofs if proof.status == "fail")

    def __getitem__(self, name: str) -> Proof:
        return next(proof for proof in self.proofs if proof.name == name)

    @property
    def summary(self) -> str:
        """The outcome in one sentence."""
        asked = [proof for proof in self.proofs if proof.status != "n/a"]
        if self.ok:
            return f"All {len(asked)} proofs pass on the chat template of {self.model}."
        names = ", ".join(proof.name for proof in self.failed)
        return f"{len(asked) - len(self.failed)} of {len(asked)} proofs pass on the chat template of {self.model}; not: {names}."

    def __repr__(self) -> str:
        return f"Certificate({self.summary})"

    def __str__(self) -> str:
        width = max(len(proof.name) for proof in self.proofs)
        lines = [f"{_WORDS[proof.status]:6}  {proof.name:{width}}  {proof.reason}" for proof in self.proofs]
        template = f"Template: {self.template_source} ({self.template_reason})."
        return "\n".join([self.summary, template, "", *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr style="background:none"><td style="{_CELL};white-space:nowrap">{_WORDS[proof.status]}</td>'
            f'<th scope="row" style="{_CELL};white-space:nowrap" title="{escape(proof.claim, quote=True)}">{escape(proof.name)}'
            f'</th><td style="{_CELL}">{escape(proof.reason)}{_example(proof)}</td></tr>'
            for proof in self.proofs
        )
        template = f"Template: {self.template_source} ({self.template_reason})."
        return (
            f'<div style="color:inherit"><strong>{escape(self.summary)}</strong><div>{escape(template)}</div>'
            f'<table aria-label="Template certificate" style="color:inherit;border:none"><tbody>{rows}</tbody></table></div>'
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            **asdict(self),
            "proofs": [asdict(proof) for proof in self.proofs],
            "ok": self.ok,
            "summary": self.summary,
        }


def certify_renderer(renderer: Renderer, name: str) -> Certificate:
    """Try every proof on a renderer's template; ``name`` says whose it is."""
    subject = Subject(renderer)
    return Certificate(
        name, renderer.template_source, renderer.template_reason, tuple(_proven(subject, *proof) for proof in PROOFS)
    )


def _proven(subject: Subject, name: str, claim: str, prove: Any) -> Proof:
    try:
        status, reason, example = prove(subject)
    except DataError as error:  # the template refuses the probe
        status, reason, example = "fail", error.what, ""
    return Proof(name, claim, status, reason, example if len(example) <= _SHOWN else f"{example[:_SHOWN]} …")


def _example(proof: Proof) -> str:
    if not proof.example:
        return ""
    return f'<div><code style="white-space:pre-wrap;overflow-wrap:anywhere;opacity:.8">{escape(proof.example)}</code></div>'
