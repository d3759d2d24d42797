"""Which paths are recorded, which only pass through, and where they lie at the upstream.

Paths are whole and made of plain segments, so that none can climb out of the upstream's base. Azure's and Gemini's own paths begin
at the host of the upstream; all others are below its base, with or without ``/v1``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shadownb.engine.capture.dialects import Dialect, WireError, by_path, dialect

_ID = r"[\w.:@~-]+"
_DEEPER = rf"(/{_ID})*"
_AZURE = re.compile(rf"/openai(?:/deployments/(?P<model>{_ID})|/v1)?(?P<rest>/[a-z]{_DEEPER}[\w./:@~-]*)")
_GEMINI = re.compile(
    rf"/v1(?:beta|alpha)?(?P<rest>/models/(?P<model>{_ID}?):(?P<verb>[A-Za-z]+)|/(?:models|files|operations){_DEEPER})"
)
_GEMINI_RECORDED = ("generateContent", "streamGenerateContent")
_WITHOUT_VERSION = re.compile(r"^(/v1)+(?=/)")

_KEPT_THERE = "files|uploads|batches|vector_stores|containers|fine_tuning|evals|videos|responses|conversations"
# Passed on and counted.
_PASSED = {
    "GET": re.compile(rf"/(?:models|messages/batches|{_KEPT_THERE}){_DEEPER}"),
    "POST": re.compile(
        rf"/embeddings|/moderations|/rerank|/audio/[a-z_]+|/images/[a-z_]+|/messages/(?:count_tokens|batches{_DEEPER})"
        rf"|/(?:{_KEPT_THERE}){_DEEPER}"
    ),
    "DELETE": re.compile(rf"/(?:models|messages/batches|{_KEPT_THERE})(/{_ID})+"),
}
FEEDBACK = "/shadownb/feedback"  # an app says what it thinks of a call
COUNTERS = "/shadownb/counters"  # our own: what the recording counts, for a handle in another process


@dataclass(frozen=True)
class Route:
    """Where a request goes.

    Attributes
    ----------
    path
        At the upstream: below its base, or, where ``at_host``, below its host.
    dialect
        In which its call is recorded; None where it only passes through.
    model
        That the path names, where the body does not.
    """

    path: str
    dialect: Dialect | None = None
    model: str | None = None
    at_host: bool = False

    @property
    def group(self) -> str:
        """Under which name it is counted where it only passes through."""
        return self.path.removeprefix("/openai").removeprefix("/v1beta").lstrip("/").partition("/")[0]


def shape_of(path: str, *, is_anthropic: bool) -> Dialect:
    """Return the dialect in which a refusal on this path is said."""
    if _GEMINI.fullmatch(path):
        return dialect("gemini")
    return dialect("messages" if is_anthropic or "/messages" in path else "chat")


def find(method: str, path: str) -> Route:
    """Return the route of a request. Raises :class:`WireError` 404 or 405."""
    if ".." not in path:
        if (own := _GEMINI.fullmatch(path)) and (own["verb"] or "/v1/" not in path):
            recorded = method == "POST" and own["verb"] in _GEMINI_RECORDED
            return Route(path, dialect("gemini") if recorded else None, own["model"], at_host=True)
        if azure := _AZURE.fullmatch(path):
            spoken = by_path(azure["rest"])
            if spoken is not None and method == "POST":
                return Route(path, spoken, azure["model"], at_host=True)
            if spoken is None and _passes(method, azure["rest"]):
                return Route(path, at_host=True)
    bare = _WITHOUT_VERSION.sub("", path)
    spoken = by_path(bare)
    if spoken is not None and method == "POST":
        return Route(bare, spoken)
    if ".." not in bare:
        if spoken is None and _passes(method, bare):
            return Route(bare)
        if spoken is not None or any(pattern.fullmatch(bare) for pattern in _PASSED.values()):
            raise WireError(405, f"{method} is not possible at {bare}.", code="method_not_allowed")
    raise WireError(404, f"There is nothing at {bare}.", code="not_found")


def _passes(method: str, path: str) -> bool:
    pattern = _PASSED.get("POST" if method in ("PUT", "PATCH") else method)
    return pattern is not None and pattern.fullmatch(path) is not None
