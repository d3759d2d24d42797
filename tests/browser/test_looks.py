"""Every panel in each of its states passes axe-core in both themes; with a folder for them, pictures are kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from .lab import Lab, Notebook
from .looks import AXE, violations

START, PANEL = 0, 1
Photograph = Callable[[Locator, str], None]

SETUP = """import sys
sys.path.insert(0, {helpers!r})
from hand_runs import HandRun
import shadownb as snb
model = snb.load({model!r}, dtype="float32")
rows = [
    {{"messages": [{{"role": "user", "content": f"Say {{i}}."}}, {{"role": "assistant", "content": f"Here is {{i}}."}}]}}
    for i in range(24)
]
def prefer(status=None, steps=40, error=None):
    hand = HandRun()
    hand.begin(60)
    estimate = {{"lines": [["weights", 0.54], ["activations", 0.73]], "low_gb": 1.1, "expected_gb": 1.27, "high_gb": 1.5}}
    decisions = {{"packing": ["rows", "attention is computed row by row"], "optimizer": ["adamw_torch", "the default"]}}
    values = {{"estimate": {{**estimate, "seconds": 90}}, "trainable_parameters": 4884480, "decisions": decisions}}
    hand.append("record", values=values)
    for step in range(1, steps + 1):
        up, down = step / 50, -step / 40
        extra = {{"rewards_chosen": up, "rewards_rejected": down, "rewards_margin": up - down}}
        hand.step(step, **extra, rewards_accuracy=min(1.0, 0.5 + step / 50))
        if step % 20 == 0:
            hand.append("eval", step=step, eval_loss=1 / step, eval_rewards_accuracy=0.8, eval_rewards_margin=step / 20)
            hand.sample(step, f"An answer after {{step}} steps.")
            hand.append("checkpoint", step=step, path=f"step-{{step}}", best=step == 20, eval_loss=1 / step)
    hand.append("warning", code="truncated", what="3 rows were cut.", why="They are long.", fix="Raise max_length.")
    if status:
        hand.append("end", status=status, error=error)
    hand.journal.flush()
    return hand
"""
RUNS = """import sys
sys.path.insert(0, str(__import__("pathlib").Path(snb.__file__).parents[1]))
from tests.engine.test_runs_table import run_of
from tests.ports.run_stores import made
store = snb.runs.FolderStore(os.environ["SHADOWNB_HOME"])
for r in (4, 8, 16, 32):
    losses = tuple(2.0 / (1 + step * r / 40) for step in range(30))
    run_of(store, losses=losses, lora_r=r, learning_rate=1e-4 * r, data="support mails of May")
run_of(store, method="dora", losses=(2.0, 1.1, 0.7), data="support mails of May")
made(store, ended="failed")
going = made(store, ended=None, steps=9)
snb.runs.load(run_of(store, losses=(2.0, 0.9), max_grad_norm=0.5).id).mark(archived=True)
snb.runs.load(going.id).mark(note="Broke off when the laptop slept.")
newest = snb.runs.list()[3]
newest.mark(tags=["best", "for the demo"], pinned=True)
snb.RunsPanel()"""
ERROR = {
    "code": "out-of-memory",
    "what": "Memory ran out in step 41.",
    "why": "The longest rows of the data came together.",
    "fix": "Set max_tokens_per_forward=1024, or per_device_train_batch_size=1.",
}

ANSWERED = """import json
def answer(text, reward, cut=False, reason=""):
    return {"completion": text, "reward": reward, "rewards": {"words": reward, "ended": float(not cut)},
            "reasons": {"words": reason} if reason else {}, "advantage": 0.0 if reward is None else (reward - 0.5) / 0.3,
            "tokens": len(text.split()) + 1, "finish_reason": "length" if cut else "stop"}
hand.begin(60)
for step in (1, 2):
    better = 0.2 * step
    groups = [
        {"row": "rows/0", "prompt": "Describe rain in exactly 5 words.", "completions": [
            answer("Water that falls from clouds.", 0.6 + better, reason="5 of 5 words"),
            answer("Rain is when drops of water come down from the sky and make everything wet and", 0.0, cut=True),
            answer("Wet.", 0.2), answer("", None, reason="nothing to count")]},
        {"row": f"rows/{step}", "prompt": "Describe a library in exactly 8 words.", "completions": [answer("Quiet.", 0.1)] * 4},
    ]
    path = hand.run.folder.samples / f"completions-{step}.json"
    path.write_text(json.dumps({"step": step, "groups": groups}))
    hand.append("completions", step=step, path=path.name, count=8)
    hand.step(step, reward=0.3 * step, reward_std=0.2, entropy=1.4, completion_length=9.0, frac_reward_zero_std=0.5, kl=0.01,
              clipped_ratio=0.25, clip_ratio=0.1, rollout_s=3.1, update_s=5.3)
hand.journal.flush()
"""


@pytest.fixture
def notebook(lab: Lab, page: Page, tiny_model_dir: Path) -> Notebook:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in widgets/")
    helpers = Path(__file__).parents[1] / "panels"
    opened = lab.open(page, "looks", SETUP.format(helpers=str(helpers), model=str(tiny_model_dir)), "")
    opened.execute(START)
    return opened


def open_folds(panel: Locator) -> None:
    for fold in panel.locator("summary").all():
        if fold.is_visible() and not fold.evaluate("summary => summary.parentElement.open"):
            fold.click()


def test_train(notebook: Notebook, photograph: Photograph) -> None:
    notebook.run(PANEL, "snb.TrainPanel(namespace={})")
    train = notebook.panel(PANEL, "Train")
    expect(train.get_by_role("group", name="Hardware").get_by_role("radio").first).to_be_visible()
    photograph(train, "train-empty")
    assert violations(train) == []
    notebook.run(PANEL, "snb.TrainPanel(model, rows, namespace={})")
    expect(train.get_by_role("region", name="Estimate")).to_contain_text("GB")
    expect(train.locator(".train-about")).to_contain_text("of the weights")
    photograph(train, "train-ready")
    open_folds(train)
    expect(train.locator(".snb-tokens")).to_be_visible()
    photograph(train, "train-open")
    assert violations(train) == []
    train.get_by_role("textbox", name="Maximum steps").fill("0")
    train.get_by_role("textbox", name="Or a folder or hub id").fill("no/such-model")
    train.get_by_role("button", name="Use", exact=True).click()
    train.get_by_role("button", name="Load", exact=True).click()
    expect(train.get_by_role("alert")).to_be_visible()
    photograph(train, "train-failed")
    assert violations(train) == []


def test_serve(notebook: Notebook, photograph: Photograph) -> None:
    panel = notebook.panel(PANEL, "Serve")
    notebook.run(PANEL, 'snb.ServePanel(namespace={"mine": model})')
    expect(panel.get_by_text("No server runs.")).to_be_visible()
    photograph(panel, "serve-empty")
    assert violations(panel) == []
    panel.get_by_role("button", name="Start", exact=True).click()
    expect(panel.get_by_text("1 running.")).to_be_visible(timeout=60_000)
    open_folds(panel)
    photograph(panel, "serve-running")
    assert violations(panel) == []
    panel.get_by_role("textbox", name="Question").fill("Where is my parcel?")
    panel.get_by_role("button", name="Ask them").click()
    expect(panel.locator(".serve-answer").first).to_be_visible(timeout=60_000)
    photograph(panel, "serve-asked")
    assert violations(panel) == []
    panel.get_by_role("combobox", name="Model").select_option("")
    panel.get_by_role("textbox", name="Folder, run, file or address").fill("no-such-model")
    panel.get_by_role("button", name="Start", exact=True).click()
    expect(panel.get_by_role("alert")).to_be_visible(timeout=60_000)
    photograph(panel, "serve-failed")
    assert violations(panel) == []
    panel.get_by_role("button", name=re.compile("^Stop ")).click()
    expect(panel.get_by_text("No server runs.")).to_be_visible(timeout=60_000)


def test_runs(notebook: Notebook, photograph: Photograph) -> None:
    panel = notebook.panel(PANEL, "Runs")
    notebook.run(
        PANEL, "import os; os.environ['SHADOWNB_HOME'] = os.environ['SHADOWNB_HOME'] + '-runs'; snb.RunsPanel()"
    )
    expect(panel.get_by_text("No run yet.")).to_be_visible()
    photograph(panel, "runs-empty")
    assert violations(panel) == []
    notebook.run(PANEL, RUNS)
    expect(panel.get_by_role("row")).to_have_count(8)
    photograph(panel, "runs-table")
    assert violations(panel) == []
    for place in (1, 2, 3):
        panel.get_by_role("row").nth(place).get_by_role("checkbox").check()
    expect(panel.get_by_role("heading", name="3 runs side by side")).to_be_visible()
    expect(panel.locator(".snb-chart svg.main-svg").first).to_be_visible()
    panel.get_by_role("textbox", name="Tag to add").fill("baseline")
    panel.get_by_role("button", name="Add tag").click()
    expect(panel.get_by_role("cell", name="baseline").first).to_be_visible()
    panel.get_by_role("row").nth(1).locator(".runs-open").click()
    open_folds(panel)
    photograph(panel, "runs-open")
    assert violations(panel) == []
    panel.get_by_role("button", name="Close").click()
    panel.get_by_role("button", name="Delete", exact=True).click()
    expect(panel.get_by_role("button", name="Undo")).to_be_visible()
    expect(panel.get_by_role("row")).to_have_count(5)
    panel.get_by_role("searchbox", name="Search runs").fill("rank<8")
    panel.get_by_role("searchbox", name="Search runs").press("Enter")
    expect(panel.get_by_role("alert")).to_contain_text("No run has a column 'rank'")
    photograph(panel, "runs-failed")
    assert violations(panel) == []
    panel.get_by_role("button", name="Undo").click()
    expect(panel.get_by_role("row")).to_have_count(8)


def test_run(notebook: Notebook, photograph: Photograph) -> None:
    panel = notebook.panel(PANEL, "Run")
    for name, made in (
        ("queued", "HandRun()"),
        ("running", "prefer()"),
        ("failed", f"prefer('failed', error={ERROR!r})"),
        ("finished", "prefer('succeeded', 60)"),
    ):
        notebook.run(PANEL, f"hand = {made}\nsnb.RunPanel(hand.run)")
        expect(panel.get_by_role("status").first).not_to_be_empty()
        photograph(panel, f"run-{name}")
        assert violations(panel) == [], name
    panel.get_by_role("tab", name="Reward margin").click()
    expect(panel.get_by_role("img", name="Reward margin by step")).to_be_visible()
    open_folds(panel)
    for tab in ("Checkpoints", "Warnings", "Estimate and record", "Code"):
        panel.get_by_role("tab", name=tab).click()
        photograph(panel, f"run-tab-{tab.split()[0].lower()}")
        assert violations(panel) == [], tab


def test_scored_answers(notebook: Notebook, photograph: Photograph) -> None:
    panel = notebook.panel(PANEL, "Run")
    notebook.run(PANEL, "hand = HandRun(method='grpo', reward_fns=['exact'])\n" + ANSWERED + "snb.RunPanel(hand.run)")
    expect(panel.get_by_role("tab", name="Scored answers")).to_have_attribute("aria-selected", "true")
    panel.get_by_role("button", name="Reward", exact=True).first.click()
    open_folds(panel)
    photograph(panel, "run-answers")
    assert violations(panel) == []
    panel.get_by_role("button", name="Earlier").click()
    expect(panel.get_by_role("button", name="Follow the newest")).to_be_visible()


def test_facts(notebook: Notebook, photograph: Photograph) -> None:
    panel = notebook.panel(PANEL, "Facts")
    notebook.run(PANEL, "snb.FactsPanel(namespace={})")
    expect(panel).to_contain_text("No model yet")
    photograph(panel, "facts-none")
    assert violations(panel) == []
    notebook.run(PANEL, "facts = snb.FactsPanel(model, expert_steps=2, question_forms=1)\nfacts")
    expect(panel).to_contain_text("knows nothing by heart yet")
    photograph(panel, "facts-empty")
    assert violations(panel) == []
    form = panel.get_by_role("form", name="Add a fact")
    for question, answer, source in (
        ("What is the part number of the pump seal?", "DW-4471-C", "parts list, May"),
        ("How long may goods be returned?", "23 days", ""),
    ):
        form.get_by_label("Question").fill(question)
        form.get_by_label("Answer").fill(answer)
        form.get_by_label("Source").fill(source)
        form.get_by_role("button", name="Learn it").click()
        expect(panel.get_by_role("row", name=question)).to_be_visible()
    photograph(panel, "facts-learned")
    assert violations(panel) == []
    ask = panel.get_by_role("region", name="Ask")
    ask.get_by_label("Question").fill("Which part number does the pump seal have?")
    ask.get_by_role("button", name="Ask").click()
    expect(ask).to_contain_text("With memory")
    panel.get_by_role("button", name="Edit: How long may goods be returned?").click()
    photograph(panel, "facts-asked")
    ask.get_by_label("Question").fill("What is the part number of the pump seal, and how long may goods be returned?")
    ask.get_by_role("button", name="Ask").click()
    expect(ask).to_contain_text("It asks for 2 facts")
    photograph(panel, "facts-two")
    assert violations(panel) == []
    notebook.run(
        PANEL,
        "facts.state = {'stage': 'working', 'doing': 'learning'}\nfacts",
    )
    expect(panel.get_by_role("progressbar", name="Learning")).to_be_visible()
    photograph(panel, "facts-working")
    assert violations(panel) == []
    notebook.run(PANEL, f"facts.state = {{'stage': 'failed', 'error': {ERROR!r}}}\nfacts")
    expect(panel.get_by_role("alert")).to_be_visible()
    photograph(panel, "facts-failed")
    assert violations(panel) == []


def test_export(notebook: Notebook, photograph: Photograph) -> None:
    panel = notebook.panel(PANEL, "Export")
    notebook.run(PANEL, "snb.ExportPanel(namespace={})")
    expect(panel).to_contain_text("No model is loaded")
    photograph(panel, "export-empty")
    assert violations(panel) == []
    notebook.run(PANEL, "export = snb.ExportPanel(namespace={'model': model, 'rows': rows[:6]})\nexport")
    expect(panel.get_by_role("row", name="Export adapter")).to_contain_text("carries no adapter")
    panel.get_by_role("checkbox", name="Compare q8_0").check()
    panel.get_by_role("checkbox", name="Compare f16").check()
    photograph(panel, "export-ready")
    assert violations(panel) == []
    panel.get_by_role("combobox", name="Measure on").select_option("var:rows")
    panel.get_by_role("textbox", name="Folder").fill("looks-of-an-export")
    panel.get_by_role("button", name="Export", exact=True).click()
    report = panel.get_by_role("region", name="Report")
    expect(report).to_be_visible(timeout=120_000)
    expect(report.locator(".snb-chart svg.main-svg").first).to_be_visible()
    open_folds(panel)
    photograph(panel, "export-done")
    assert violations(panel) == []
    steps = [{"text": "merging in 32 bits", "seconds": 1.2}, {"text": "writing q8_0", "seconds": None}]
    notebook.run(PANEL, f"export.state = {{'stage': 'working', 'doing': 'writing q8_0', 'steps': {steps!r}}}\nexport")
    expect(panel.get_by_role("progressbar", name="writing q8_0")).to_be_visible()
    photograph(panel, "export-working")
    assert violations(panel) == []
    notebook.run(PANEL, f"export.state = {{'stage': 'failed', 'error': {ERROR!r}}}\nexport")
    expect(panel.get_by_role("alert")).to_be_visible()
    photograph(panel, "export-failed")
    assert violations(panel) == []


def test_rewards(notebook: Notebook, photograph: Photograph) -> None:
    """The lab in the browser: chosen, looked at, found; a scorer that is fooled and one that is not."""
    words = (("snow", "white"), ("coal", "black"), ("grass", "green"), ("blood", "red"))
    code = (
        f"colours = [{{'prompt': f'Which colour has {{thing}}?', 'completion': colour}} for thing, colour in {words!r}]\n"
        "def mentions(output, expected):\n    return Score(float(expected in output), 'looked for it')\n"
        "from shadownb import Score\nsnb.RewardsPanel()"
    )
    notebook.run(PANEL, code)
    rewards = notebook.panel(PANEL, "Rewards")
    expect(rewards.get_by_role("button", name="Run the lab")).to_be_disabled()
    photograph(rewards, "rewards-empty")
    rewards.get_by_role("combobox", name="Scorer").select_option("var:mentions")
    rewards.get_by_role("combobox", name="Right answers").select_option("var:colours")
    rewards.get_by_role("button", name="Run the lab").click()
    expect(rewards.get_by_role("heading", name="every option at once")).to_be_visible()
    open_folds(rewards)
    photograph(rewards, "rewards-fooled")
    assert violations(rewards) == []
    rewards.get_by_role("tab", name="Wrong answers").click()
    photograph(rewards, "rewards-answers")
    assert violations(rewards) == []
    rewards.get_by_role("combobox", name="Scorer").select_option("name:exact")
    rewards.get_by_role("button", name="Run the lab").click()
    expect(rewards).to_contain_text("Nothing found")
    photograph(rewards, "rewards-sound")
    rewards.get_by_role("combobox", name="Right answers").select_option("sample:support-triage")
    rewards.get_by_role("button", name="Run the lab").click()
    expect(rewards).to_contain_text("50")
    expect(rewards).to_contain_text("Nothing found")


JUDGED = """import json, threading
from tests.judging.scripted import ScriptedJudge, verdicts
go = threading.Event()
def say(shown, prompt):
    go.wait(60)
    if "parcel 7" in prompt:
        return "I would rather not."
    moves = "parcel 3" in prompt
    scores = {
        name: 9 - 4 * place if moves else 8 if "queue" in text else 2 for place, (name, text) in enumerate(shown.items())
    }
    return verdicts(scores, "It names the queue, as the rubric asks.")
rented = ScriptedJudge(say)
attempts = [
    snb.Trajectory([{"role": "user", "content": f"Where is parcel {n}? It should have been here a week ago."},
                    {"role": "assistant", "content": text}])
    for n in range(24) for text in ("The queue is shipping.", "I am sorry to hear that. Have you looked behind the door?")
]
panel = snb.JudgePanel(namespace={"rented": rented, "attempts": attempts})
panel"""


SWEPT = """sweep = model.sweep(
    rows, {"lora_r": [2, 4], "learning_rate": (1e-4, 1e-2, "log")}, "loss", 4, max_steps=2, sample_max_new_tokens=0,
    background=False, name="ranks",
)
panel = snb.SweepPanel(model, rows, max_steps=2)
panel"""
LINE = """long = dict(max_steps=100_000, save_steps=100_000, sample_max_new_tokens=0, background=True, queue=True)
waiting = [model.train(rows, start="base", **long) for _ in range(3)]
snb.RunsPanel()"""


def test_sweep(notebook: Notebook, photograph: Photograph) -> None:
    panel = notebook.panel(PANEL, "Sweep")
    notebook.run(PANEL, "snb.SweepPanel()")
    expect(panel.get_by_role("form", name="New sweep")).to_be_visible()
    photograph(panel, "sweep-empty")
    assert violations(panel) == []
    notebook.run(PANEL, SWEPT)
    expect(panel.get_by_role("region", name="Sweep ranks")).to_contain_text("4 of 4 trials")
    expect(panel.get_by_role("region", name="Table of trials").get_by_role("row")).to_have_count(5)
    expect(panel.locator(".snb-chart svg.main-svg").first).to_be_visible()
    open_folds(panel)
    photograph(panel, "sweep-result")
    assert violations(panel) == []
    panel.get_by_role("textbox", name="Trials, or time of training").fill("many")
    panel.get_by_role("button", name="Start").click()
    expect(panel.get_by_role("alert").first).to_be_visible()
    photograph(panel, "sweep-failed")
    assert violations(panel) == []


def test_the_queue(notebook: Notebook, photograph: Photograph) -> None:
    notebook.run(PANEL, LINE)
    panel = notebook.panel(PANEL, "Runs")
    line = panel.get_by_role("region", name=re.compile("^Queue"))
    expect(line.get_by_role("listitem")).to_have_count(2)
    photograph(panel, "queue")
    assert violations(panel) == []
    notebook.run(START, "for run in reversed(waiting): run.discard().wait(timeout=60)")
    expect(line).to_have_count(0)


def test_judge(notebook: Notebook, photograph: Photograph) -> None:
    """Chosen, watched, looked at, clicked through by keys, measured, and what fails."""
    notebook.run(PANEL, f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n{JUDGED}")
    panel = notebook.panel(PANEL, "Judge")
    expect(panel.get_by_role("button", name="Judge", exact=True)).to_be_disabled()
    photograph(panel, "judge-empty")
    assert violations(panel) == []
    panel.get_by_role("combobox", name="Attempts").select_option("var:attempts")
    panel.get_by_role("combobox", name="Judge").select_option("var:rented")
    open_folds(panel)
    panel.get_by_role("button", name="Judge", exact=True).click()
    expect(panel.get_by_role("progressbar")).to_be_visible()
    photograph(panel, "judge-working")
    assert violations(panel) == []
    notebook.run(START, "go.set()")
    expect(panel.get_by_role("region", name="Result", exact=True)).to_contain_text("2 without a score")
    groups = panel.get_by_role("region", name="Judged groups")
    expect(groups).to_contain_text("orders disagree")
    groups.get_by_role("button", name=re.compile("Where is parcel 3")).click()
    expect(panel.get_by_role("article", name="Open group")).to_contain_text("moved by 0.40")
    photograph(panel, "judge-result")
    assert violations(panel) == []
    verdict = panel.get_by_role("region", name="Your verdict")
    verdict.get_by_role("button", name="Skip").focus()
    for _ in range(10):
        said = verdict.inner_text()
        verdict.get_by_role("button", name="Skip").press("g" if "The queue is" in said else "b")
        expect(verdict).not_to_have_text(said, use_inner_text=True)
    verdict.get_by_role("button", name="Undo").press("u")
    expect(verdict).to_contain_text("9 verdicts given")
    expect(panel.get_by_role("region", name="How good the judge is")).to_contain_text("The interval is")
    width = panel.get_by_role("textbox", name="Wanted width")
    width.fill("0.5")
    width.press("Enter")
    expect(panel.get_by_role("region", name="How good the judge is")).to_contain_text(
        "more clicks would narrow it to 0.5"
    )
    open_folds(panel)
    photograph(panel, "judge-measured")
    assert violations(panel) == []
    panel.get_by_role("button", name="The best of each, sft").click()
    expect(panel.get_by_role("region", name="Result", exact=True)).to_contain_text("judged.best(threshold)")
    notebook.run(START, "panel._namespace.pop('rented')")
    panel.get_by_role("button", name="Judge", exact=True).click()
    expect(panel.get_by_role("alert")).to_contain_text("no variable 'rented'")
    photograph(panel, "judge-failed")
    assert violations(panel) == []


EVALUATED = """from tests.evals.contestants import Polyglot, Waits, right_up_to, speakers, rows as conversations
def odd(output, expected):
    if expected.endswith("7"):
        raise ValueError("I do not like sevens")
    return float(output == expected)
base, tuned = Waits("base", 17, 22), Waits("tuned", 33)
held_out = conversations(40)
mine = snb.suites.rows(held_out, snb.Exact(), name="held_out")
kept = snb.evaluate({"base": right_up_to("b", 20), "other": right_up_to("o", 33)}, mine, name="kept")
languages = snb.evaluate(speakers(), Polyglot(), name="languages")
panel = snb.EvaluatePanel(namespace={"base": base, "tuned": tuned, "held_out": held_out, "odd": odd})
panel"""


def test_evaluate(notebook: Notebook, photograph: Photograph) -> None:
    """Chosen by clicks, watched while it works, over a reload, stopped, gone on with, looked at item by item."""
    notebook.run(PANEL, f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n{EVALUATED}")
    panel = notebook.panel(PANEL, "Evaluate")
    choose_what_to_evaluate(panel, photograph)
    watch_stop_and_go_on(notebook, panel, photograph)
    look_at_what_came_out(panel, photograph)
    panel.get_by_role("button", name="kept", exact=True).first.click()
    expect(panel.get_by_role("region", name="Evaluation", exact=True)).to_contain_text("kept")
    panel.get_by_role("checkbox", name=re.compile("^tuned ")).uncheck()
    notebook.run(START, "panel._namespace.pop('held_out')")
    panel.get_by_role("button", name="Evaluate", exact=True).click()
    expect(panel.get_by_role("alert")).to_contain_text("no variable 'held_out'")
    photograph(panel, "evaluate-failed")
    assert violations(panel) == []
    look_at_languages(panel, photograph)


def choose_what_to_evaluate(panel: Locator, photograph: Photograph) -> None:
    begin = panel.get_by_role("button", name="Evaluate", exact=True)
    expect(begin).to_be_disabled()
    expect(panel.get_by_role("checkbox", name="humaneval", exact=True)).to_be_visible()
    photograph(panel, "evaluate-empty")
    assert violations(panel) == []
    for name in ("base", "tuned"):
        panel.get_by_role("checkbox", name=re.compile(f"^{name} ")).check()
    for scorer, name in (("name:exact", "held_out"), ("var:odd", "held_out-2")):
        panel.get_by_role("combobox", name="Your rows").select_option("var:held_out")
        panel.get_by_role("combobox", name="Scorer").select_option(scorer)
        panel.get_by_role("button", name="Add rows").click()
        expect(panel.get_by_role("checkbox", name=name, exact=True)).to_be_checked()
    panel.get_by_role("textbox", name="Name").fill("clicked")
    panel.get_by_role("textbox", name="Name").press("Tab")
    expect(begin).to_be_enabled()
    begin.click()


def watch_stop_and_go_on(notebook: Notebook, panel: Locator, photograph: Photograph) -> None:
    progress = panel.get_by_role("list", name="Progress by suite")
    expect(progress).to_contain_text("16 items")
    notebook.run(START, "base.go.set()")
    expect(progress.get_by_role("img", name="Interval of base on held_out: ")).to_be_visible()
    photograph(panel, "evaluate-working")
    assert violations(panel) == []
    notebook.reload()
    expect(progress).to_contain_text("32 items")
    panel.get_by_role("button", name="Stop", exact=True).click()
    expect(panel.get_by_role("button", name="Stopping")).to_be_visible()
    notebook.run(START, "tuned.go.set()")
    state = panel.get_by_role("region", name="Evaluation", exact=True)
    expect(state).to_contain_text("not finished")
    photograph(panel, "evaluate-stopped")
    panel.get_by_role("button", name="Go on").click()
    expect(state).to_contain_text("complete")


def look_at_what_came_out(panel: Locator, photograph: Photograph) -> None:
    changed = panel.get_by_role("region", name="What changed")
    expect(changed).to_contain_text("tuned is 45.0 points above base")
    expect(panel.get_by_role("region", name="What is missing")).to_contain_text("4 answers of base could not be graded")
    open_folds(panel)
    photograph(panel, "evaluate-result")
    assert violations(panel) == []
    panel.get_by_role("combobox", name="Compared with").select_option("tuned")
    expect(changed).to_contain_text("base is 45.0 points below tuned")
    panel.get_by_role("button", name="What got worse on held_out", exact=True).click()
    panel.get_by_role("region", name="Items").get_by_role("button").first.click()
    opened = panel.get_by_role("article", name="Item", exact=True)
    expect(opened.get_by_role("region", name="Difference").locator("del")).to_have_text("answer 22")
    photograph(panel, "evaluate-items")
    assert violations(panel) == []
    panel.get_by_role("tab", name="Leaderboard").click()
    expect(panel.get_by_role("region", name="Scores", exact=True)).to_contain_text("82.5 %")
    photograph(panel, "evaluate-board")
    assert violations(panel) == []


def look_at_languages(panel: Locator, photograph: Photograph) -> None:
    """Problems by languages: what changed has a frame, and a square opens its item."""
    kept = panel.get_by_role("combobox", name="Kept evaluations")
    kept.select_option("languages")
    open_folds(panel)
    panel.get_by_role("button", name="Problems by language").click()
    square = panel.get_by_role("button", name="py/1: right, was wrong")
    expect(square).to_be_visible()
    photograph(panel, "evaluate-languages")
    assert violations(panel) == []
    square.click()
    expect(panel.get_by_role("article", name="Item", exact=True)).to_contain_text("py 1")


def test_chat_and_studio(notebook: Notebook, photograph: Photograph) -> None:
    notebook.run(PANEL, "snb.ChatPanel()")
    chat = notebook.panel(PANEL, "Chat")
    expect(chat).to_contain_text("No model yet")
    photograph(chat, "chat-empty")
    assert violations(chat) == []
    trained = "model.train(rows, max_steps=2, sample_max_new_tokens=0, background=False)"
    notebook.run(PANEL, f"{trained}\nsnb.Studio(model, rows)")
    studio = notebook.panel(PANEL, "Studio")
    expect(notebook.panel(PANEL, "Train").get_by_role("region", name="Estimate")).to_contain_text("GB")
    photograph(studio, "studio-train")
    assert violations(studio) == []
    studio.get_by_role("tab", name="Run", exact=True).click()
    photograph(studio, "studio-no-run")
    assert violations(studio) == []
    studio.get_by_role("tab", name="Chat", exact=True).click()
    chat.get_by_role("textbox", name="Message").fill("Say 3.")
    chat.get_by_role("button", name="Send").click()
    expect(chat).to_contain_text("Base untouched")
    open_folds(chat)
    photograph(studio, "chat-answers")
    assert violations(studio) == []
