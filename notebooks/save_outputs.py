"""Run a notebook and save it with small static outputs: ``python notebooks/save_outputs.py notebooks/00_quickstart.ipynb``.

Live widgets are left out (a saved one would carry plotly.js and show nothing without a kernel); what stays is text, HTML
and the pictures of the curves, so that a code host shows them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

WIDGET = "application/vnd.jupyter.widget-view+json"
_CELL = re.compile(r"\S*ipykernel_\d+/\d+\.py(?=:\d)")  # where a warning is from; else a path of this machine
_PACKAGE = re.compile(r"\S*/(?=shadownb/\S+\.py:\d)")
LIMIT = 300_000  # bytes of a saved notebook


def main(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=None, store_widget_state=False, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("execution", None)
        cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = _PACKAGE.sub("", _CELL.sub("cell", output.text))
    nbformat.write(notebook, path)
    size = path.stat().st_size
    print(f"{path}: {size / 1000:.0f} KB")
    if size > LIMIT:
        sys.exit(f"{path} has {size} bytes, more than {LIMIT}; make its outputs smaller.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
