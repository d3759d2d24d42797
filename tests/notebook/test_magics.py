"""%shadow and %%shadow in a real kernel: what is printed, returned, completed and taken away again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.notebook.kernel import Kernel


def test_loading_prints_nothing_and_imports_nothing_heavy(started: Kernel) -> None:
    started.run("%unload_ext shadownb")
    assert started.run("%load_ext shadownb").silent
    heavy = "[m for m in ('torch', 'transformers', 'plotly', 'pandas', 'datasets') if m in __import__('sys').modules]"
    assert started.value(heavy) == "[]"


def test_loading_twice_is_harmless(kernel: Kernel) -> None:
    assert kernel.run("import shadownb; shadownb.load_ipython_extension(get_ipython())").silent
    assert kernel.complete("%shadow tra") == ["%shadow train"]
    assert kernel.value("sum(type(c).__name__ == 'ShadowMagics' for c in get_ipython().configurables)") == "1"


def test_unloading_takes_everything_away(kernel: Kernel) -> None:
    assert kernel.run("%unload_ext shadownb").silent
    assert "not found" in kernel.run("%shadow help").stderr
    assert "not found" in kernel.run("%%shadow train\nmethod: lora").stderr
    assert kernel.complete("%shadow tra") == []
    assert kernel.value("'ShadowMagics' in get_ipython().magics_manager.registry") == "False"
    assert kernel.run("%load_ext shadownb").silent
    assert kernel.complete("%shadow tra") == ["%shadow train"]


# -- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["%shadow", "%shadow help", "%shadow --help"])
def test_help_lists_every_verb(kernel: Kernel, code: str) -> None:
    outcome = kernel.run(code)
    assert outcome.status == "ok"
    assert not outcome.results
    for verb in [
        "load",
        "train",
        "chat",
        "runs",
        "plot",
        "compare",
        "facts",
        "serve",
        "batch",
        "eval",
        "diff",
        "inspect",
        "sweep",
        "sweeps",
        "queue",
        "notify",
        "models",
        "methods",
        "certify",
        "doctor",
        "studio",
        "stop",
        "pause",
        "resume",
        "help",
    ]:
        assert f"\n  {verb} " in outcome.stdout


def test_help_of_a_verb_shows_its_options_once_declared(kernel: Kernel) -> None:
    asked, flagged = (
        kernel.run("%shadow help train"),
        kernel.run("%shadow train --help"),
    )
    assert asked.stdout == flagged.stdout
    assert "--max-steps" in asked.stdout
    assert "Usage: %shadow train" in asked.stdout
    assert "PROG" not in asked.stdout


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("%shadow trian", "%shadow has no verb 'trian'. Did you mean 'train'?"),
        (
            "%shadow train m d --max-step 4",
            "--max-step is not an option of %shadow train. Did you mean '--max-steps'?",
        ),
        ("%shadow train m d --loss-on asistant", "Did you mean 'assistant'?"),
        ("%shadow train support-triage --method lroa", "Did you mean 'lora'?"),
        ("%shadow train support-triage --max-steps 0", "max_steps=0"),
        ("%shadow train support-triage --learning-rate -1", "learning_rate=-1"),
        (
            "%shadow train support-triage --max-steps many",
            "'many' is not a whole number.",
        ),
        ("%shadow train suport-triage", "Did you mean 'support-triage'?"),
        ("%shadow train number support-triage", "number is a int, not a model"),
        ("%shadow train a b c", "not 3 names"),
        ("%shadow train --max-steps 4", "train needs data"),
        ("%%shadow train\nmax_step: 4", "Did you mean 'max_steps'?"),
        ("%%shadow train\n- 4", "'option: value' lines"),
        ("%%shadow train\nmodel: [", "not valid YAML"),
        ("%%shadow train a b\ndataset: c", "the dataset is given twice: b and c"),
        ("%%shadow load x\ny", "take a cell body"),
        ("%shadow load", "Missing argument"),
        ("%shadow chat m what's", "A quote is not closed"),
        (
            "%shadow inspect support-triage --row 100000",
            "--row 100000 is not in support-triage",
        ),
        ("%shadow runs --as 1x", "'1x' is not a variable name"),
    ],
)
def test_a_mistake_is_one_line(kernel: Kernel, code: str, said: str) -> None:
    kernel.run("number = 3")
    outcome = kernel.run(code)
    assert outcome.status == "error"
    lines = outcome.stderr.strip().splitlines()
    assert len(lines) == 1, outcome
    assert lines[0].startswith("UsageError: ")
    assert said in lines[0]
    assert not outcome.stdout
    assert outcome.error is None or outcome.error["traceback"] == []


def test_an_engine_error_is_its_explanation(kernel: Kernel) -> None:
    outcome = kernel.run("%shadow stop no-such-run")
    assert outcome.status == "error"
    assert outcome.error is not None
    assert outcome.error["ename"] == "RunNotFoundError"
    shown = "\n".join(outcome.error["traceback"])
    assert "no-such-run" in shown
    assert "Traceback" not in shown and "magics.py" not in shown


def test_an_explained_error_keeps_its_type_for_code(kernel: Kernel) -> None:
    code = (
        "import shadownb\n"
        "try:\n"
        "    get_ipython().run_line_magic('shadow', 'stop no-such-run')\n"
        "except shadownb.errors.RunNotFoundError as error:\n"
        "    print('caught', error.code)"
    )
    assert kernel.run(code).stdout == "caught run-not-found\n"


def test_a_defect_keeps_its_traceback(kernel: Kernel) -> None:
    kernel.run(
        "class Broken(list):\n    def __iter__(self): raise ZeroDivisionError('inside')\nbroken = Broken([{'text': 'a'}])"
    )
    outcome = kernel.run("%shadow inspect broken")
    assert outcome.error is not None
    assert outcome.error["ename"] == "ZeroDivisionError"
    assert "Traceback" in "\n".join(outcome.error["traceback"])


# -- results -----------------------------------------------------------------------------------------------------------


def test_methods_returns_the_specs(kernel: Kernel) -> None:
    assert kernel.run("found = %shadow methods").silent
    assert kernel.value("[spec.name for spec in found][:1]") == "['lora']"
    shown = kernel.run("found").results[0]
    assert "<table" in shown["text/html"]
    assert "lora" in shown["text/plain"]


def test_a_cell_magic_can_name_its_result(kernel: Kernel) -> None:
    kernel.run("%shadow methods --as listed")
    assert kernel.value("len(listed) > 0") == "True"


def test_variables_expand_in_lines_and_not_in_cells(kernel: Kernel) -> None:
    kernel.run("which = 'train'")
    assert "Usage: %shadow train" in kernel.run("%shadow help {which}").stdout
    assert "{which}" in kernel.run("%%shadow train\n'{which}': 1").stderr


def test_doctor_reports_the_kernel(kernel: Kernel) -> None:
    kernel.run("report = %shadow doctor")
    assert kernel.value("[line.found for line in report.lines if line.name == 'kernel'][0]").startswith("'ipykernel ")
    shown = kernel.run("report").results[0]
    assert "<table" in shown["text/html"]
    assert "python" in shown["text/plain"].lower()


def test_doctor_writes_a_bundle_and_cleans_only_when_told(kernel: Kernel, home: Path, tmp_path: Path) -> None:
    kernel.run(f"written = %shadow doctor --bundle {tmp_path / 'for_a_report.zip'}")
    shown = kernel.run("written").results[0]["text/plain"]
    assert "doctor.txt" in shown and "Left out:" in shown and (tmp_path / "for_a_report.zip").is_file()
    answer = home / "answers" / "a.json"
    answer.parent.mkdir(exist_ok=True)
    answer.write_text("{}")
    os.utime(answer, (1e9, 1e9))
    refused = kernel.run("%shadow doctor --clean").stderr
    assert "kept answers" in refused and "Add --yes to do it" in refused and answer.exists()
    assert "Freed 2 bytes" in kernel.run("%shadow doctor --clean --yes").stderr and not answer.exists()


def test_a_default_model_can_be_configured(kernel: Kernel) -> None:
    kernel.run("%config ShadowMagics.model = 'no-such-alias'")
    outcome = kernel.run("%shadow train support-triage --max-steps 1")
    assert outcome.error is not None
    assert "no-such-alias" in "\n".join(outcome.error["traceback"])


# -- the whole way, on a tiny random model -----------------------------------------------------------------------------

_ROWS = (
    "[{'messages': [{'role': 'user', 'content': f'{n}?'}, {'role': 'assistant', 'content': 'red'}]} for n in range(8)]"
)
_QUICK = "--lora-r 4 --sample-max-new-tokens 0"  # one rank everywhere: a model keeps the adapter it has


@pytest.fixture
def tiny(kernel: Kernel, tiny_model_dir: Path) -> Kernel:
    """The kernel with the variables ``model`` and ``data``."""
    outcome = kernel.run(f"if 'model' not in dir():\n    model = %shadow load {tiny_model_dir}\ndata = {_ROWS}")
    assert outcome.status == "ok", outcome
    assert not outcome.results
    return kernel


def test_train_returns_the_run_at_once(tiny: Kernel) -> None:
    outcome = tiny.run(f"run = %shadow train model data --max-steps 2 {_QUICK}\nprint(type(run).__name__)")
    assert outcome.stdout.strip() == "Run", outcome
    tiny.run("run.wait()")
    assert (
        tiny.value("(run.status, run.config.max_steps, run.config.lora_r, model.trained[0] == run.id)")
        == "('succeeded', 2, 4, True)"
    )
    assert tiny.complete("%shadow plot ru") == ["%shadow plot run"]
    assert tiny.complete("%shadow chat mod") == ["%shadow chat model"]


def test_a_yaml_cell_trains_and_flags_win(tiny: Kernel) -> None:
    body = "model: model\ndataset: data\neval_dataset: 0.25\nmax_steps: 9\nlora_r: 4\nlearning_rate: 1e-3\n"
    body += "sample_max_new_tokens: 0\n"
    outcome = tiny.run(f"%%shadow train --as second --max-steps 2\n{body}")
    assert outcome.status == "ok", outcome
    assert any("lora" in data["text/plain"] for data in outcome.displays), "the run is shown, live or as a picture"
    tiny.run("second.wait()")
    assert (
        tiny.value("(second.status, second.config.max_steps, second.config.learning_rate, second.eval_loss > 0)")
        == "('succeeded', 2, 0.001, True)"
    )


def test_an_option_without_effect_is_a_mistake(tiny: Kernel) -> None:
    outcome = tiny.run("%shadow train model data --beta 0.5")
    assert outcome.stderr.startswith("UsageError: beta=0.5 has no effect")
    assert len(outcome.stderr.splitlines()) == 1


def test_stop_ends_a_run(tiny: Kernel) -> None:
    tiny.run(f"long = %shadow train model data --max-steps 100000 --save-steps 100000 {_QUICK}")
    assert tiny.run("stopped = %shadow stop long").silent
    tiny.run("long.wait()")
    assert tiny.value("(long.status, stopped.id == long.id)") == "('stopped', True)"
    assert "nothing to pause" in "\n".join((tiny.run("%shadow pause long").error or {})["traceback"])


def test_pause_and_resume_by_id(tiny: Kernel) -> None:
    tiny.run(f"held = %shadow train model data --max-steps 100000 --save-steps 100000 {_QUICK}")
    until = "import time\nwhile held.is_active and held.status != '{0}': time.sleep(0.02)\nassert held.status == '{0}'"
    tiny.run("name = held.id")
    tiny.run("_ = %shadow pause {name}")
    assert tiny.run(until.format("paused")).status == "ok"
    tiny.run("_ = %shadow resume {name}")
    assert tiny.run(until.format("running")).status == "ok"
    tiny.run("_ = %shadow stop {name}\nheld.wait()")
    assert tiny.value("held.status") == "'stopped'"


def test_chat_streams_into_the_cell_and_is_shown_once(tiny: Kernel) -> None:
    outcome = tiny.run("%%shadow chat model --max-new-tokens 8 --temperature 0 --as answer\nWhat is {x}?")
    assert outcome.status == "ok", outcome
    assert outcome.pieces > 1
    assert not outcome.results and not outcome.displays
    assert tiny.value("answer == str(answer) and answer") == repr(outcome.stdout[:-1])
    shown = tiny.run("answer")
    assert shown.stdout == outcome.stdout
    asked = "model.chat([{'role': 'user', 'content': 'What is {x}?'}], max_new_tokens=8, temperature=0).raw"
    assert tiny.value(asked) == repr(outcome.stdout[:-1])


def test_chat_asks_a_variable_that_holds_an_endpoint(tiny: Kernel) -> None:
    """Here the endpoint is the same model behind a capture, so that its greedy answer is known."""
    begun = tiny.run("import shadownb\nproxy = shadownb.capture(model).start()")
    assert begun.status == "ok", begun
    tiny.run("rented = shadownb.Endpoint(proxy.base_url, model='any', api_key=proxy.token)")
    outcome = tiny.run("%shadow chat rented hello --max-new-tokens 8 --temperature 0")
    assert outcome.status == "ok" and outcome.pieces > 1, outcome
    asked = "model.chat([{'role': 'user', 'content': 'hello'}], max_new_tokens=8, temperature=0).content"
    assert tiny.value(asked) == repr(outcome.stdout[:-1])
    refused = tiny.run("%shadow chat rented hello --use base")
    assert refused.status == "error" and "use='base' is not known to an endpoint" in str(refused), refused
    tiny.run("proxy.stop()")


def test_generate_returns_the_text(tiny: Kernel) -> None:
    tiny.run("text = %shadow generate model hello --max-new-tokens 4 --temperature 0")
    assert tiny.value("text == model.generate('hello', max_new_tokens=4, temperature=0)") == "True"


def test_plot_returns_the_figure(tiny: Kernel) -> None:
    outcome = tiny.run("%shadow plot")
    assert any("plotly" in kind for data in (*outcome.results, *outcome.displays) for kind in data), outcome
    tiny.run("part = %shadow plot --window 2 --log --smooth 0")
    assert tiny.value("[(trace.name, len(trace.x)) for trace in part.data][0]") == "('loss', 2)"
    assert tiny.value("part.layout.yaxis.type") == "'log'"


def test_compare_asks_base_and_tuned(tiny: Kernel) -> None:
    outcome = tiny.run("found = %shadow compare model data --max-rows 2 --max-new-tokens 4")
    assert outcome.status == "ok", outcome
    assert tiny.value("(type(found).__name__, len(found), found.sides)") == "('Comparison', 2, ('base', 'tuned'))"
    refused = tiny.run("%shadow compare model data --scorer exactly")
    assert "json_exact" in refused.stderr + str(refused)


def test_eval_asks_rows_and_says_what_does_not_hold(tiny: Kernel) -> None:
    asked = "%shadow eval model --rows data --limit 3 --max-new-tokens 4 --folder by-magic"
    outcome = tiny.run(f"judged = {asked}")
    assert outcome.status == "ok", outcome
    assert tiny.value("(type(judged).__name__, judged.sides[0], judged.suites)") == "('Evaluation', 'base', ('exact',))"
    again = tiny.run(f"{asked} --require 'exact >= 90 %'")
    assert "failed: exact >= 90 %" in again.stderr + str(again)
    assert "humaneval" in tiny.run("%shadow eval model").stderr


def test_diff_shows_a_table_and_the_losses(tiny: Kernel) -> None:
    outcome = tiny.run("%shadow diff run run")
    table, picture = (*outcome.displays, *outcome.results)
    assert "trained weights" in table["text/html"] and "image/png" in picture


def test_inspect_shows_the_tokens(tiny: Kernel) -> None:
    shown = tiny.run("%shadow inspect data --model model --row 3").results[0]
    assert "red" in shown["text/html"]
    assert "row 3" in shown["text/plain"]
    short = tiny.run("%shadow inspect data --model model --method lora --max-length 8").results[0]
    assert "8 tokens" in short["text/plain"] and "cut off" in short["text/plain"]
    refused = tiny.run("%shadow inspect data --model model --method dpo")
    assert "dpo needs" in refused.stderr + str(refused), refused


def test_runs_lists_them_newest_first(tiny: Kernel) -> None:
    tiny.run("found = %shadow runs")
    assert tiny.value("[run.id for run in found] == [run.id for run in __import__('shadownb').runs.list()]") == "True"
    assert "<table" in tiny.run("found").results[0]["text/html"]


def test_export_and_delete(tiny: Kernel) -> None:
    tiny.run("written = %shadow export model --to exported")
    assert tiny.value("sorted(p.name for p in written.glob('*.safetensors'))") == "['adapter_model.safetensors']"
    refused = tiny.run("%shadow delete run").stderr
    assert refused.startswith("UsageError: Delete run") and "--yes" in refused
    tiny.run("%shadow delete run --yes")
    assert tiny.value("run.path.exists()") == "False"


@pytest.mark.parametrize(
    ("code", "panel"),
    [
        ("%shadow train", "TrainPanel"),
        ("%shadow train model", "TrainPanel"),
        ("%shadow chat", "ChatPanel"),
        ("%shadow chat model", "ChatPanel"),
        ("%shadow watch second", "RunPanel"),
        ("%shadow studio", "Studio"),
    ],
)
def test_panels_are_shown(tiny: Kernel, code: str, panel: str) -> None:
    outcome = tiny.run(code)
    assert outcome.status == "ok", outcome
    kinds = [kind for data in (*outcome.results, *outcome.displays) for kind in data]
    assert "application/vnd.jupyter.widget-view+json" in kinds
    tiny.run(f"panel = {code}")
    assert tiny.value("type(panel).__name__") == repr(panel)
    if code.endswith(" model"):
        assert tiny.value("panel.settle() and panel.model is model") == "True"
