"""Faults that the tests must find: each is one replacement in one file, and the tests that have to fail with it.

All of them are silent: nothing raises by itself, a run "succeeds", and only a value is wrong. They are spread over the house,
so that somebody who makes the tests faster can see that they still look at the same things. Text that a file no longer has is
an error of the tool, not a fault that was missed: then the fault is to be planted anew.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Replace ``old``, which the file has once, by ``new``; ``tests`` are arguments of pytest."""

    name: str
    file: str
    old: str
    new: str
    tests: str


_TORCH = "engine/backends/torch"
_ENGINE = "tests/engine"

FAULTS = (
    # -- what is trained ------------------------------------------------------------------------------------------------
    Fault("the stop token is not trained", "engine/rendering/masks.py",
          "labels = [token if trained else NOT_TRAINED for ids, trained in pieces for token in ids]",
          "labels = [token if trained and token != ids[-1] else NOT_TRAINED for ids, trained in pieces for token in ids]",
          f"{_ENGINE}/test_rendering_masks.py"),
    Fault("only the last answer of a chat is trained", "engine/rendering/masks.py",
          'turns[-1:] if loss_on == "last" else turns', "turns[-1:]",
          f"{_ENGINE}/test_rendering_masks.py"),
    Fault("a message with weight 0 is trained", "engine/rendering/masks.py",
          ' and message.get("weight", 1)', "",
          f"{_ENGINE}/test_rendering_masks.py"),
    Fault("loss is divided by rows instead of tokens", "engine/runs/loop.py",
          "total=self.objective.count(examples)", "total=len(examples)",
          f"{_ENGINE}/test_methods_golden.py -k 'golden_curve and lora'"),
    Fault("gradients of the step before are kept", f"{_TORCH}/updates.py",
          "self.masters.forget_gradients()", "pass",
          f"{_ENGINE}/test_precision.py -k 'rounded_away or resumed_exactly'"),
    Fault("a pass holds more tokens than it may", "engine/rendering/packing.py",
          "total = sizes[number]\n", "total = 0\n",
          f"{_ENGINE}/test_packed_batch.py"),
    Fault("a shared start may hold trained tokens", "engine/rendering/packing.py",
          "return shared if shared >= _MIN_SHARED else 0", "return shared + 1 if shared >= _MIN_SHARED else 0",
          f"{_ENGINE}/test_packed_batch.py"),
    Fault("dropout is the same in every step", f"{_TORCH}/steps.py",
          "self.step = self._dropout.step = step", "self.step = step",
          f"{_ENGINE}/test_methods_golden.py -k 'golden_curve and lora'"),
    Fault("dpo forgets the reference", "engine/objectives/dpo.py",
          "policy - self.reference(ops, examples), examples)", "policy, examples)",
          f"{_ENGINE}/test_methods_preference.py -k 'numbers_are_trls and sigmoid'"),
    Fault("kto's drift is not subtracted", "engine/objectives/kto.py",
          "ratios - drift, drift - ratios", "ratios, -ratios",
          f"{_ENGINE}/test_methods_preference.py -k 'numbers_are_trls and kto'"),
    Fault("kto's drift is always 0", "engine/objectives/kto.py",
          "ops.clip(drift, 0.0, None)", "ops.clip(drift, 0.0, 0.0)",
          f"{_ENGINE}/test_methods_preference.py -k 'numbers_are_trls and kto'"),
    # -- runs -----------------------------------------------------------------------------------------------------------
    Fault("the masters are not resumed", f"{_TORCH}/updates.py",
          "self.masters.load(folder)\n", "\n",
          f"{_ENGINE}/test_precision.py -k resumed_exactly"),
    Fault("the schedule starts anew on a resume", "engine/runs/loop.py",
          "self.rate(step - progress.skipped_steps)", "self.rate(step - (self.saved_step or 0))",
          f"{_ENGINE}/test_runs_resume.py -k 'in_a_thread and lora'"),
    Fault("the patience starts anew on a resume", "engine/runs/loop_state.py",
          "if not own:\n", "if own:\n",
          f"{_ENGINE}/test_runs_points.py -k stop_at_an_evaluation"),
    Fault("the worst evaluation is the best", "engine/runs/progress_state.py",
          "loss < self.best_eval_loss:", "loss > self.best_eval_loss:",
          f"{_ENGINE}/test_runs_points.py {_ENGINE}/test_runs_control.py"),
    Fault("a checkpoint of the right size is taken unread", "engine/runs/checkpoints.py",
          'if _sha256(file) != facts["sha256"]:', "if False:",
          f"{_ENGINE}/test_runs_resume.py -k torn_checkpoint"),
    Fault("sequence numbers start anew", "engine/runs/journal.py",
          "self._next_seq = last_seq(path) + 1", "self._next_seq = 1",
          f"{_ENGINE}/test_journal.py"),
    Fault("a torn line swallows the next event", "engine/runs/journal.py",
          'self._pending = b"\\n" if _ends_torn(path) else b""', 'self._pending = b""',
          f"{_ENGINE}/test_journal.py"),
    Fault("a curve loses its peak", "engine/runs/series.py",
          "if self.highest is None or value > self.highest[1]:", "if self.highest is None:",
          f"{_ENGINE}/test_series_state.py"),
    # -- inference ------------------------------------------------------------------------------------------------------
    Fault("who came last is served first", "engine/inference/gate.py",
          "self._queue.append(ticket)", "self._queue.appendleft(ticket)",
          f"{_ENGINE}/test_inference_gate.py"),
    Fault("every row of a batch draws the same numbers", "engine/backends/torch/generation/sampler.py",
          'f"{seed}:{row}".encode()', 'f"{seed}".encode()',
          f"{_ENGINE}/test_inference_transformers.py {_ENGINE}/test_inference_types.py"),
    # -- rows -----------------------------------------------------------------------------------------------------------
    Fault("the system column is left out", "engine/data/parts.py",
          "if column is None or not isinstance(row.see(column), str):\n        return messages",
          "return messages",
          f"{_ENGINE}/test_dataset_formats.py {_ENGINE}/test_dataset_shapes.py"),
    Fault("the input of an instruction is left out", "engine/data/parts.py",
          "            texts.append(joined(extra, row.title(name)))", "            pass",
          f"{_ENGINE}/test_dataset_formats.py {_ENGINE}/test_dataset_shapes.py"),
    Fault("1 counts as true in JSON", "engine/scoring/json_exact.py",
          "if type(left) is not type(right):", "if False:",
          f"{_ENGINE}/test_shipped_task.py"),
    Fault("an error of a scorer is a score of 0", "engine/scoring/asking.py",
          "return Score(None, str(error))", "return Score(0.0, str(error))",
          "tests/ports/test_scorer.py"),
    Fault("an attempt without a reward counts as 0", "engine/trajectories/group.py",
          "None if t.reward is None else float(t.reward)", "float(t.reward or 0.0)",
          "tests/trajectories/test_trajectory.py"),
    Fault("the interval is of 68 %", "engine/evals/statistics.py",
          "z = NormalDist().inv_cdf((1 + level) / 2)", "z = 1.0",
          f"{_ENGINE}/test_evals_compare.py"),
    # -- capture --------------------------------------------------------------------------------------------------------
    Fault("known secrets stay in bodies", "engine/capture/spellings.py",
          "        for form in self._exact:\n            if form",
          "        return data\n        for form in self._exact:\n            if form",
          "tests/capture/test_redaction.py tests/capture/test_secrets.py tests/capture/test_refusals.py"),
    Fault("what could not be looked at is kept", "engine/capture/redaction.py",
          'return b"", [], True, failure', "return request, frames, True, failure",
          "tests/capture/test_redaction.py"),
    Fault("reasoning decides whether a call goes on", "engine/trajectories/identity.py",
          '_HIDDEN_PARTS = ("thinking", "redacted_thinking", "reasoning")', '_HIDDEN_PARTS = ("none",)',
          "tests/trajectories"),
    Fault("leakage is found only between equal texts", "engine/data/leakage.py",
          "similarity >= threshold:", "similarity >= 1:",
          "tests/trajectories"),
    # -- panels ---------------------------------------------------------------------------------------------------------
    Fault("a cleared chat keeps its turns", "panels/chat.py",
          "        self.turns = []\n", "",
          "tests/panels/test_chat_panel.py"),
    # -- what is known of runs ------------------------------------------------------------------------------------------
    Fault("the index is believed whatever happened to the files", "engine/runs/store.py",
          "if then == stamp:", "if then:",
          "tests/ports/test_run_store.py"),
    Fault("a run of another host is taken for broken off", "engine/runs/executors/base.py",
          "return heard_of(folder)", "return False",
          "tests/ports/test_executor.py -k another_host"),
)  # fmt: skip
