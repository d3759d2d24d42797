"""What a server counts: for Prometheus, for the panel, and a line a request for a file; nowhere what was said."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from pathlib import Path

_KEPT = 2000  # requests that figures of now are made of
_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


@dataclass
class Served:
    """One request, without its contents.

    Attributes
    ----------
    at
        When it came, seconds since the epoch.
    seconds, first_seconds
        From then to its end, and to the first piece of its answer; None where there was none.
    """

    id: str
    at: float
    route: str
    model: str
    status: int = 0
    stream: bool = False
    seconds: float = 0.0
    first_seconds: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""
    began: float = field(default_factory=time.perf_counter, repr=False)

    def first(self) -> None:
        """Note that the first piece is there."""
        self.first_seconds = time.perf_counter() - self.began

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        found = asdict(self)
        del found["began"]
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}


class Measured:
    """Counts requests.

    Parameters
    ----------
    file
        Gets a line of JSON a request; None writes none.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._recent: deque[Served] = deque(maxlen=_KEPT)
        self.registry = CollectorRegistry()
        labels = ("route", "model", "status")
        self._requests = Counter(
            "shadownb_requests", "Requests by route, model and status.", labels, registry=self.registry
        )
        self._tokens = Counter("shadownb_tokens", "Tokens read and written.", ("model", "kind"), registry=self.registry)
        self._seconds = Histogram(
            "shadownb_request_seconds", "Seconds to the end.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self._first = Histogram(
            "shadownb_first_piece_seconds", "Seconds to the first piece of an answer.", ("route",), buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.active = Gauge("shadownb_active", "Requests that are answered now.", registry=self.registry)
        self.waiting = Gauge("shadownb_waiting", "Requests that wait for a place.", registry=self.registry)

    def done(self, served: Served) -> None:
        """A request has ended."""
        served.seconds = time.perf_counter() - served.began
        self._requests.labels(served.route, served.model, str(served.status)).inc()
        for kind, count in (("prompt", served.prompt_tokens), ("completion", served.completion_tokens)):
            self._tokens.labels(served.model, kind).inc(count)
        self._seconds.labels(served.route).observe(served.seconds)
        if served.first_seconds is not None:
            self._first.labels(served.route).observe(served.first_seconds)
        with self._lock:
            self._recent.append(served)
            if self._file is not None:
                with open(self._file, "a", encoding="utf-8") as log:
                    log.write(json.dumps(served.as_dict()) + "\n")

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return bytes(generate_latest(self.registry))

    def recent(self, seconds: float = 60.0) -> dict[str, Any]:
        """Return figures of the last ``seconds``: requests and tokens a second, and how long answers took."""
        since = time.time() - seconds
        with self._lock:
            found = [served for served in self._recent if served.at + served.seconds >= since]
        whole = sorted(served.seconds for served in found)
        first = sorted(served.first_seconds for served in found if served.first_seconds is not None)
        return {
            "seconds": seconds,
            "requests": len(found),
            "failed": sum(served.status >= 400 for served in found),
            "requests_per_s": len(found) / seconds,
            "tokens_per_s": sum(served.completion_tokens for served in found) / seconds,
            "latency_s": _quantiles(whole),
            "first_piece_s": _quantiles(first),
        }


def _quantiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {f"p{share}": round(values[min(len(values) - 1, len(values) * share // 100)], 4) for share in (50, 95)}
