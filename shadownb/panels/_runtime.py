"""The hidden widget that carries plotly.js to the page, once for each kernel.

Panels with charts refer to it by a trait, so every page that shows such a panel gets it too: a reload, a second tab, a
front end that creates models only on demand. It is never displayed. The library travels gzipped (about 0.4 MB) and is
evaluated when the first chart asks for it; ``widgets/lib/plotly.ts`` is the other side.
"""

from __future__ import annotations

import gzip
import threading
from pathlib import Path

import anywidget
import traitlets as t

STATIC = Path(__file__).parent.parent / "static"  # the built bundles

_lock = threading.Lock()
_runtime: RuntimeWidget | None = None


class RuntimeWidget(anywidget.AnyWidget):
    """Carries plotly.js; use :func:`ensure_runtime`."""

    _esm = STATIC / "runtime.js"
    source = t.Bytes(help="plotly.js as an ES module, gzipped.").tag(sync=True)

    def __repr__(self) -> str:
        return "RuntimeWidget()"


def ensure_runtime() -> RuntimeWidget:
    """Return this kernel's runtime widget; made on first use, and again if it was closed (``Widget.close_all()``)."""
    global _runtime
    with _lock:
        if _runtime is None or _runtime.comm is None:
            _runtime = RuntimeWidget(source=gzip.compress((STATIC / "plotly.js").read_bytes(), 6, mtime=0))
        return _runtime
