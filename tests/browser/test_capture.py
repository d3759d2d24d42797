"""Capture and Trajectories in a real browser: alone and in Studio, by keyboard, through a reload, in both themes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from .lab import Lab, Notebook
from .looks import AXE, violations

START, PANEL, SCRATCH = 0, 1, 2
Photograph = Callable[[Locator, str], None]

KEY = "sk-canary-4f1b7c2e9d8a6b5c3e2f1a0b9c8d7e6f"
SETUP = """import os, sys
sys.path[:0] = {paths!r}
os.environ["OPENAI_API_KEY"] = "sk-" + "{key}"
from tests.capture.upstream import Upstream, echo
from recorded import calls, loop, record, result, says, tool, user
import shadownb as snb
from shadownb.engine.capture.proxy import running_here
for proxy in list(running_here.values()):  # of a test before that failed in the same kernel
    proxy.stop()

async def answer(seen, reply):
    if b"too much" in seen.body:
        await reply.json({{"error": {{"message": "Slow down, 3 requests a minute."}}}}, status=429)
    else:
        await echo(seen, reply)

upstream = Upstream(answer).__enter__()
model = snb.load({model!r}, dtype="float32")"""
EPISODES = """look = tool("look")
for at, task in enumerate(("Where is parcel 17?", "Which shelf holds the lamps?", "Why was order 9 sent back?")):
    record(loop(task), tools=[look], session=f"customer-{at}")
start = [user("Write a slogan for a lamp shop.")]
record([(start, says("Light, at last.")), (start, says("Brighter evenings."))])
boss = [{"role": "system", "content": "You lead."}, user("Plan the spring catalogue.")]
record([(boss, calls("ask"))], session="s1", tools=[tool("ask")])
record([([{"role": "system", "content": "You count."}, user("Count the lamps.")], says("There are 40."))], session="s1")
record([([*boss, calls("ask"), result("40", "ask")], says("Forty pages then." * 200))], session="s1")
record([([user("Too long?")], says("It was cut"))], status="cut")
snb.TrajectoriesPanel("recorded")"""

CLIENT = """import openai
with openai.OpenAI(base_url=panel.proxy.base_url, api_key=panel.proxy.token, max_retries=0) as client:
    for text in [*(f"Where is parcel {n}?" for n in range(24)), "too much"]:
        try:
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text}])
        except openai.RateLimitError as error:
            print(error.status_code)"""


@pytest.fixture
def notebook(lab: Lab, page: Page, tiny_model_dir: Path) -> Notebook:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in widgets/")
    tests = Path(__file__).parents[1]
    paths = [str(tests.parent), str(tests / "panels")]
    # In two pieces, so that the notebook holds the key nowhere unless a panel put it there.
    start = SETUP.format(paths=paths, key=KEY.removeprefix("sk-"), model=str(tiny_model_dir))
    opened = lab.open(page, "capture", start, "", "")
    opened.execute(START)
    return opened


def open_folds(panel: Locator) -> None:
    for fold in panel.locator("summary").all():
        if fold.is_visible() and not fold.evaluate("summary => summary.parentElement.open"):
            fold.click()


def start_by_keyboard(notebook: Notebook) -> tuple[Locator, str]:
    """Start a recording of the local upstream; return its panel and its token."""
    page, panel = notebook.page, notebook.panel(PANEL, "Capture")
    address = notebook.run(SCRATCH, "print(upstream.url)").inner_text().strip()
    url = panel.get_by_role("textbox", name="Base URL of the model's API")
    url.fill(address)
    url.press("Tab")
    panel.get_by_role("button", name="Start recording").focus()
    page.keyboard.press("Enter")
    expect(panel.get_by_role("button", name="Stop recording")).to_be_visible()
    return panel, notebook.run(SCRATCH, "print(panel.proxy.token)").inner_text().strip()


def test_a_recording_is_started_and_a_real_client_reaches_it(notebook: Notebook, photograph: Photograph) -> None:
    page = notebook.page
    notebook.run(PANEL, "panel = snb.CapturePanel()\npanel")
    panel = notebook.panel(PANEL, "Capture")
    start = panel.get_by_role("button", name="Start recording")
    expect(start).to_be_visible()
    open_folds(panel)
    photograph(panel, "capture-form")
    assert violations(panel) == []
    url = panel.get_by_role("textbox", name="Base URL of the model's API")
    url.fill("https://me:secret@host")
    expect(start).to_be_disabled()
    expect(panel).to_contain_text("Leave the password out")
    panel, token = start_by_keyboard(notebook)
    expect(panel).to_contain_text("No calls yet")
    photograph(panel, "capture-waiting")
    assert violations(panel) == []
    panel.get_by_text("openai client", exact=True).click()
    copy = panel.get_by_role("button", name="Copy openai client, with the token")
    copy.focus()
    page.keyboard.press("Space")
    expect(copy).to_have_text("Copied")
    code = page.evaluate("navigator.clipboard.readText()")
    assert token in code
    assert token not in panel.inner_html(), "copying does not show it"
    notebook.run(
        SCRATCH,
        f"{code}\n_ = client.chat.completions.create(model='gpt-4o', messages=[{{'role': 'user', 'content': 'Hi.'}}])",
    )
    expect(panel.get_by_role("button", name="Hi.")).to_be_visible()
    panel.get_by_role("button", name="Stop recording").click()
    expect(panel.get_by_role("status").first).to_have_text("Stopped")


def test_calls_errors_and_a_reload(notebook: Notebook, lab: Lab, photograph: Photograph) -> None:
    notebook.run(PANEL, "panel = snb.CapturePanel()\npanel")
    panel, token = start_by_keyboard(notebook)
    notebook.run(SCRATCH, CLIENT)
    calls = panel.get_by_role("region", name="Calls", exact=True)
    expect(calls).to_contain_text("25 calls")
    photograph(panel, "capture-working")
    panel.get_by_role("button", name="too much").click()
    card = panel.get_by_role("article", name="Open call").get_by_role("alert")
    expect(card).to_contain_text("Slow down")
    open_folds(panel)
    photograph(panel, "capture-call-failed")
    assert violations(panel) == []
    panel.get_by_role("button", name="Older", exact=True).click()
    expect(panel.get_by_role("button", name="Where is parcel 0?")).to_be_visible()
    panel.get_by_role("combobox", name="Status").select_option("error")
    expect(calls).to_contain_text("1 found")
    panel.get_by_role("button", name="Show token").click()
    expect(panel).to_contain_text(token)

    notebook.reload()
    expect(panel.get_by_role("button", name="Stop recording")).to_be_visible()
    expect(panel.get_by_role("combobox", name="Status")).to_have_value("error")
    expect(card).to_contain_text("Slow down")
    expect(panel.get_by_role("button", name="Show token")).to_be_visible()
    saved = (lab.root / "capture.ipynb").read_text(encoding="utf-8")
    assert token not in saved and KEY not in saved
    assert "ShadowNB capture" in json.dumps(json.loads(saved)["cells"][PANEL]["outputs"]), "the snapshot is kept"
    panel.get_by_role("button", name="Stop recording").click()
    expect(panel.get_by_role("status").first).to_have_text("Stopped")
    photograph(panel, "capture-stopped")
    assert violations(panel) == []


def test_what_cannot_start_is_a_card(notebook: Notebook, photograph: Photograph) -> None:
    notebook.run(PANEL, "snb.CapturePanel('https://api.anthropic.com')")
    panel = notebook.panel(PANEL, "Capture")
    panel.get_by_role("button", name="Start recording").click()
    expect(panel.get_by_role("alert")).to_contain_text("ANTHROPIC_API_KEY")
    photograph(panel, "capture-failed")
    assert violations(panel) == []
    panel.get_by_role("button", name="Dismiss").click()
    expect(panel.get_by_role("alert")).to_have_count(0)


def test_trajectories_with_tokens_and_branches(notebook: Notebook, photograph: Photograph) -> None:
    page = notebook.page
    notebook.run(PANEL, "snb.TrajectoriesPanel()")
    panel = notebook.panel(PANEL, "Trajectories")
    expect(panel).to_contain_text("No capture is chosen")
    photograph(panel, "trajectories-empty")
    assert violations(panel) == []
    notebook.run(PANEL, EPISODES)
    expect(panel.get_by_role("status").first).to_contain_text("8 episodes of 15 calls")
    photograph(panel, "trajectories-list")
    assert violations(panel) == []

    panel.get_by_role("searchbox", name="Search").fill("parcel")
    page.keyboard.press("Enter")
    expect(panel.locator("tbody tr")).to_have_count(1)
    panel.get_by_role("button", name="Where is parcel 17?").focus()
    page.keyboard.press("Enter")
    episode = panel.get_by_role("article", name="Open episode")
    expect(episode.get_by_role("heading", name="Where is parcel 17?")).to_be_focused()
    expect(episode.locator("summary", has_text="calls look")).to_have_count(2)
    expect(episode.locator("pre", has_text='"at": 1')).to_be_hidden()
    photograph(panel, "trajectories-open")
    episode.locator("summary", has_text="Tokens and mask").click()
    episode.get_by_role("combobox", name="Loaded model").select_option("var:model")
    trained = episode.locator("ins")
    expect(trained.first).to_be_visible()
    assert "Done: Where is parcel 17?" in "".join(trained.all_inner_texts())
    open_folds(panel)
    photograph(panel, "trajectories-tokens")
    assert violations(panel) == []

    notebook.reload()
    expect(episode.get_by_role("heading", name="Where is parcel 17?")).to_be_visible()
    expect(panel.get_by_role("searchbox", name="Search")).to_have_value("parcel")
    episode.locator("summary", has_text="Tokens and mask").click()
    expect(trained.first).to_be_visible()

    search = panel.get_by_role("searchbox", name="Search")
    search.fill("")
    search.press("Enter")
    panel.get_by_role("row", name=re.compile("regenerated")).get_by_role("button").click()
    expect(episode).to_contain_text("Also from here")
    last = episode.get_by_role("list", name="Messages").get_by_role("listitem").last
    expect(last).to_contain_text("Brighter evenings.")
    episode.get_by_role("button", name="episode: Light, at last.").click()
    expect(last).to_contain_text("Light, at last.")
    panel.get_by_role("button", name="Plan the spring catalogue.").click()
    expect(episode.get_by_role("button", name="subagent: Count the lamps.")).to_be_visible()
    episode.get_by_role("button", name=re.compile("Show all 3,400 characters")).click()
    expect(episode.get_by_role("button", name=re.compile("Show all"))).to_have_count(0)
    photograph(panel, "trajectories-branches")
    assert violations(panel) == []


def test_both_in_studio(notebook: Notebook, photograph: Photograph) -> None:
    notebook.run(PANEL, "studio = snb.Studio()\nstudio")
    studio = notebook.panel(PANEL, "Studio")
    address = notebook.run(SCRATCH, "print(upstream.url)").inner_text().strip()
    studio.get_by_role("tab", name="Capture").click()
    capture = notebook.panel(PANEL, "Capture")
    capture.get_by_role("textbox", name="Base URL of the model's API").fill(address)
    capture.get_by_role("textbox", name="Base URL of the model's API").press("Tab")
    capture.get_by_role("button", name="Start recording").click()
    expect(capture).to_contain_text("No calls yet")
    notebook.run(
        SCRATCH,
        "import openai\nproxy = studio.capture.proxy\nclient = openai.OpenAI(base_url=proxy.base_url, api_key=proxy.token)\n"
        "_ = client.chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'Hello there.'}])",
    )
    expect(capture.get_by_role("button", name="Hello there.")).to_be_visible()
    photograph(studio, "studio-capture")
    assert violations(studio) == []
    studio.get_by_role("tab", name="Trajectories").click()
    trajectories = notebook.panel(PANEL, "Trajectories")
    trajectories.get_by_role("button", name="Hello there.").click()
    expect(trajectories.get_by_role("article", name="Open episode")).to_contain_text("echo: Hello there.")
    photograph(studio, "studio-trajectories")
    assert violations(studio) == []
    studio.get_by_role("tab", name="Capture").click()
    capture.get_by_role("button", name="Stop recording").click()
    expect(capture.get_by_role("status").first).to_have_text("Stopped")
