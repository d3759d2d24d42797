"""Other front ends of a notebook: Studio is drawn at its full height there, answers, and asks nothing of the network.

Neither is among the packages that development needs, so each test runs where its package is installed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.waiting import wait_for

from .lab import PATIENCE_MS, PREFIX, running_lab, until_it_answers
from .looks import SIZE

pytestmark = pytest.mark.full
CELL = "import shadownb as snb\nsnb.Studio(namespace={})"
# What these front ends themselves take from a content network; without one they look plainer and work.
THEIRS = re.compile(
    r"https://(cdn\.jsdelivr\.net/npm/@fortawesome|cdnjs\.cloudflare\.com/ajax/libs/(require\.js|mathjax))"
)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails where a panel throws or asks the network; what its front end does by itself is not looked at."""
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    errors: list[str] = []
    outside: list[str] = []
    # A panel's code is loaded from the memory of the page.
    opened.on("pageerror", lambda error: errors.append(str(error.stack)) if "blob:" in str(error.stack) else None)
    own = re.compile(r"(http|ws)://127\.0\.0\.1:|data:|blob:")
    context.on("request", lambda request: outside.append(request.url) if not own.match(request.url) else None)
    yield opened
    context.close()
    assert not errors
    assert [url for url in outside if not THEIRS.match(url)] == []


def use(studio: Locator) -> None:
    """Choose data: the page tells the kernel, the kernel answers, and a panel within a panel shows it."""
    train = studio.get_by_role("region", name="Train", exact=True)
    train.get_by_role("combobox", name="Data set").select_option(
        label="support-triage: messages to intent, product and urgency"
    )
    expect(train.get_by_role("region", name="Data")).to_contain_text(re.compile(r"chat\s*[\d,]+ rows"))
    studio.get_by_role("tab", name="Runs", exact=True).click()
    expect(studio.get_by_role("region", name="Runs", exact=True)).to_contain_text("No run yet.")
    studio.get_by_role("tab", name="Train", exact=True).click()


def scrolled_boxes(studio: Locator) -> list[str]:
    """Return what lies around Studio and shows only a part of its height."""
    return studio.evaluate(
        """studio => {
            const found = [];
            for (let at = studio.parentElement; at && !at.matches('.jp-WindowedPanel-outer, body'); at = at.parentElement)
                if (at.scrollHeight > at.clientHeight + 1 && getComputedStyle(at).overflowY !== 'visible') found.push(at.className);
            return found;
        }"""
    )


def shows(page: Page, folder: Path, host: str, command: list[str], address: str, own: dict[str, str]) -> None:
    """Start a host whose page is Studio alone, and use it there."""
    own |= {"SHADOWNB_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
    try:
        until_it_answers(address, server)
        page.goto(address)
        studio = page.get_by_role("region", name="Studio", exact=True)
        use(studio)
        if pictures := os.environ.get("SHADOWNB_SCREENSHOTS"):
            studio.screenshot(path=str(Path(pictures) / f"{host}.png"))
    finally:
        server.terminate()
        server.wait(60)


def test_notebook_7(
    page: Page, tmp_path: Path, photograph: Callable[[Locator, str], None], request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("notebook", reason="pip install notebook")
    with running_lab(tmp_path, "notebook") as server:
        page.goto(server.address("notebooks", "hosted", CELL))
        page.locator(".jp-Cell .cm-content").first.click()
        expect(page.locator(".jp-NotebookKernelStatus, .jp-NotebookKernelLogo").first).to_be_attached()
        page.keyboard.press("Control+Enter")
        studio = page.get_by_role("region", name="Studio", exact=True)
        use(studio)
        assert studio.evaluate("studio => studio.getBoundingClientRect().height") > 1000
        assert scrolled_boxes(studio) == []
        photograph(studio, "notebook-7")


def test_voila(page: Page, tmp_path: Path) -> None:
    pytest.importorskip("voila", reason="pip install voila")
    (tmp_path / "hosted.ipynb").write_text(json.dumps(notebook(CELL)), encoding="utf-8")
    port, token = 20000 + secrets.randbelow(20000), secrets.token_hex(8)
    command = [sys.executable, "-m", "voila", str(tmp_path / "hosted.ipynb"), "--no-browser", f"--port={port}"]
    command += [f"--base_url={PREFIX}", f"--token={token}", "--Voila.ip=127.0.0.1"]
    own = {"IPYTHONDIR": str(tmp_path / "ipython")}
    shows(page, tmp_path, "voila", command, f"http://127.0.0.1:{port}{PREFIX}?token={token}", own)


MARIMO = """import marimo
app = marimo.App()
@app.cell
def _():
    import shadownb as snb
    studio = snb.Studio(namespace={})
    studio
    return (studio,)
"""


def test_marimo(page: Page, tmp_path: Path) -> None:
    pytest.importorskip("marimo", reason="pip install marimo")
    (tmp_path / "hosted.py").write_text(MARIMO, encoding="utf-8")
    port = 20000 + secrets.randbelow(20000)
    command = [sys.executable, "-m", "marimo", "run", str(tmp_path / "hosted.py"), "--headless", f"--port={port}"]
    own = {"HOME": str(tmp_path)}
    shows(page, tmp_path, "marimo", [*command, "--no-token"], f"http://127.0.0.1:{port}", own)


HUB = """import os, sys
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/shared/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.cookie_secret_file = {secret!r}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy}"
c.ConfigurableHTTPProxy.pid_file = {pid!r}
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password!r}
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = {spawner!r}
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r}
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser", "--allow-root"]
c.Spawner.default_url = "/doc/tree/hosted.ipynb"
c.Spawner.start_timeout = c.Spawner.http_timeout = 120
c.Spawner.environment = {{"HF_HUB_OFFLINE": "1"}}
"""


def test_jupyterhub(page: Page, tmp_path: Path) -> None:
    """Two users behind one address with a prefix: accounts of the machine named in ``SHADOWNB_HUB_USERS`` (as root), or two
    folders of whoever runs this."""
    pytest.importorskip("jupyterhub", reason="pip install jupyterhub; npm install -g configurable-http-proxy")
    if shutil.which("configurable-http-proxy") is None:
        pytest.skip("npm install -g configurable-http-proxy")
    accounts = [name for name in os.environ.get("SHADOWNB_HUB_USERS", "").split(",") if name]
    users = accounts or ["user-a", "user-b"]
    homes = {name: Path(f"~{name}").expanduser() if accounts else tmp_path / name for name in users}
    for name, home in homes.items():
        home.mkdir(exist_ok=True)
        (home / "hosted.ipynb").write_text(json.dumps(notebook(CELL)), encoding="utf-8")
        if accounts:
            shutil.chown(home / "hosted.ipynb", name)
    port, hub, proxy = (20000 + secrets.randbelow(20000) for _ in range(3))
    password = secrets.token_hex(12)
    config = HUB.format(
        port=port, hub=hub, proxy=proxy, password=password, secret=str(tmp_path / "secret"), pid=str(tmp_path / "pid"),
        spawner="jupyterhub.spawner.LocalProcessSpawner" if accounts else "simple", homes=str(tmp_path / "{username}"),
    )  # fmt: skip
    (tmp_path / "hub.py").write_text(config, encoding="utf-8")
    command = [sys.executable, "-m", "jupyterhub", "-f", str(tmp_path / "hub.py")]
    own = {name: value for name, value in os.environ.items() if name != "SHADOWNB_HOME"}
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command, env=own, stdout=log, stderr=log, cwd=tmp_path)
    try:
        login = f"http://127.0.0.1:{port}/shared/hub/login"
        until_it_answers(login, server)
        for name in users:
            page.context.clear_cookies()
            wait_for(lambda: page.goto(login).ok, 120)  # the proxy answers before the hub does
            page.locator("input[name=username]").fill(name)
            page.locator("input[name=password]").fill(password)
            page.locator("input[type=submit]").click()
            page.wait_for_url(f"**/shared/user/{name}/**", timeout=PATIENCE_MS)
            page.locator(".jp-Cell .cm-content").first.click()
            expect(page.get_by_text(re.compile(r"\| Idle$"))).to_be_visible()
            page.keyboard.press("Control+Enter")
            studio = page.get_by_role("region", name="Studio", exact=True)
            use(studio)
            if pictures := os.environ.get("SHADOWNB_SCREENSHOTS"):
                studio.screenshot(path=str(Path(pictures) / f"jupyterhub-{name}.png"))
        for name, home in homes.items():
            made = home / ".shadownb"
            assert made.is_dir() and made.stat().st_mode & 0o077 == 0
            assert not accounts or made.owner() == name
    finally:
        server.terminate()
        server.wait(60)


def notebook(source: str) -> dict[str, Any]:
    """Return a notebook of one cell."""
    cell = {
        "cell_type": "code",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "id": "cell-0",
        "source": source,
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": [cell]}
