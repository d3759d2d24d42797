"""A Jupyter server with settings of its own, and a notebook in it as a user handles it: keys, clicks, outputs.

It answers below a prefix, as behind JupyterHub: so every browser test shows that no panel thinks that it is at the root.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from playwright.sync_api import Locator, Page, expect

# Only failures wait this long.
PATIENCE_MS = 120_000

PREFIX = "/user/me/"

_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


class Lab:
    """A running server.

    Attributes
    ----------
    url
        Where it answers, without the slash at the end.
    root
        The folder whose notebooks it serves.
    home
        The folder in which its kernels keep their runs.
    """

    def __init__(self, url: str, token: str, root: Path, home: Path) -> None:
        self.url, self.root, self.home = url, root, home
        self._token = token

    def open(self, page: Page, name: str, *cells: str) -> Notebook:
        """Write a notebook with these cells and open it with a running kernel in a workspace of its own."""
        page.goto(self.address(f"lab/workspaces/{secrets.token_hex(4)}/tree", name, *cells))
        notebook = Notebook(page)
        notebook.wait_until_idle()
        return notebook

    def address(self, place: str, name: str, *cells: str) -> str:
        """Write a notebook with these cells and return where a front end of the server shows it."""
        (self.root / f"{name}.ipynb").write_text(json.dumps(_notebook(cells)), encoding="utf-8")
        return f"{self.url}/{place}/{name}.ipynb?token={self._token}"


@contextmanager
def running_lab(folder: Path, app: str = "jupyterlab") -> Iterator[Lab]:
    """Start JupyterLab, or the other front end ``notebook``, on a free port; all that it reads and writes lies in ``folder``."""
    root, home, token = folder / "notebooks", folder / "home", secrets.token_hex(16)
    root.mkdir()
    settings = folder / "jupyter_config_dir" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    # Its question about news would lie on top of the notebook.
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}', encoding="utf-8")
    own = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    own |= {"JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "SHADOWNB_HOME": str(home), "OMP_WAIT_POLICY": "PASSIVE"}
    own["HF_HUB_OFFLINE"] = "1"  # without a network the hub's client tries for a minute
    command = [sys.executable, "-m", app, "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", f"--ServerApp.base_url={PREFIX}"]
    # The page says which theme it shall have; nothing asks the outside for news.
    command += ["--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True"]
    command += ["--LabApp.news_url=None"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    server = subprocess.Popen(
        command, env={**os.environ, **own}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        url = _address(server)
        yield Lab(url, token, root, home)
    finally:
        server.terminate()  # it ends its kernels first
        server.wait(60)


def _address(server: subprocess.Popen[str]) -> str:
    """Return where the server answers, which it says in its log once it does."""
    assert server.stderr is not None
    log: list[str] = []
    for line in server.stderr:
        log.append(line)
        found = re.search(rf"(http://127\.0\.0\.1:\d+{PREFIX.rstrip('/')})/(lab|tree)", line)
        if found:
            # The rest must be read, or the server stops when the pipe is full.
            threading.Thread(target=server.stderr.read, daemon=True).start()
            until_it_answers(found[1], server)
            return found[1]
    raise AssertionError("JupyterLab ended at once:\n" + "".join(log))


def until_it_answers(address: str, server: subprocess.Popen[Any]) -> None:
    """Wait until a server that was just started takes connections; what it says in its log may come before that."""
    while True:
        assert server.poll() is None, f"the server at {address} ended at once"
        try:
            urlopen(address, timeout=60).close()
            return
        except HTTPError:
            return
        except (URLError, ConnectionError):
            time.sleep(0.2)


def _notebook(cells: tuple[str, ...]) -> dict[str, Any]:
    empty: dict[str, Any] = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": _KERNEL},
        "cells": [{**empty, "id": f"cell-{at}", "source": source} for at, source in enumerate(cells)],
    }


class Notebook:
    """An open notebook; cells are counted from 0."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def cell(self, at: int) -> Locator:
        """Return a cell with its output."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(at)

    def output(self, at: int) -> Locator:
        """Return the output of a cell."""
        return self.cell(at).locator(".jp-OutputArea-output")

    def panel(self, at: int, name: str) -> Locator:
        """Return the panel with this name in the output of a cell."""
        return self.cell(at).get_by_role("region", name=name, exact=True)

    def wait_until_idle(self) -> None:
        """Wait until the kernel is there and no cell runs."""
        expect(self.cell(0)).to_be_attached()
        expect(self.page.get_by_text(re.compile(r"\| Idle$"))).to_be_visible()  # in the status bar

    def execute(self, at: int) -> None:
        """Run a cell and wait until it is done."""
        prompt = self.cell(at).locator(".jp-InputArea-prompt")
        before = prompt.inner_text()
        self._editor(at).click()
        self.page.keyboard.press("Control+Enter")
        expect(prompt).not_to_have_text(before)
        expect(prompt).to_have_text(re.compile(r"\[\d+\]"))

    def run(self, at: int, code: str) -> Locator:
        """Put this code in place of a cell's, run it, and return the output."""
        self._write(at, code)
        self.execute(at)
        return self.output(at)

    def send(self, at: int, code: str) -> None:
        """Put this code in place of a cell's and start it; it need not come to an end."""
        self._write(at, code)
        self.page.keyboard.press("Control+Enter")

    def _write(self, at: int, code: str) -> None:
        self._editor(at).click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(code)

    def _editor(self, at: int) -> Locator:
        return self.cell(at).locator(".cm-content")

    def save(self) -> None:
        """Save, and wait until it is on the disk."""
        self.page.keyboard.press("Control+S")
        expect(self.page.locator(".lm-TabBar-tab.lm-mod-current.jp-mod-dirty")).to_have_count(0)

    def reload(self) -> None:
        """Save and load the page again; the kernel goes on."""
        self.save()
        self.page.reload()
        self.wait_until_idle()

    def menu(self, menu: str, entry: re.Pattern[str]) -> None:
        """Choose an entry of the menu bar."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=entry).click()

    def restart_kernel(self) -> None:
        """End the kernel and start a new one, as the menu does."""
        self.menu("Kernel", re.compile("^Restart Kernel…"))
        self.page.get_by_role("dialog").get_by_role("button", name="Confirm Kernel Restart").click()
        expect(self.page.get_by_role("dialog")).to_have_count(0)
        self.wait_until_idle()
