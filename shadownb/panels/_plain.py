"""What a panel is where widgets are not shown: words, and the code that does the same; no script, nothing from elsewhere.

Code hosts, exported pages and hosts that allow no third-party widgets draw the HTML of an output; JupyterLab, Notebook 7, VS Code
and Colab draw the widget beside it in the same output, and never this.
"""

from __future__ import annotations

from html import escape


def as_html(name: str, code: str) -> str:
    """Return a few lines about a panel of this name; ``code`` shows it, or does what it is filled for."""
    return (
        f"<div><p><b>{escape(name)}</b>: this panel of ShadowNB needs a notebook with a running kernel that shows widgets. "
        "The same in a cell:</p>"
        f"<pre>{escape(code)}</pre></div>"
    )
