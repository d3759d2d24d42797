"""ShadowNB: move one task from a rented frontier model onto a small model you own, without leaving the notebook.

::

    import shadownb as snb

    data = snb.Dataset.sample("support-triage")
    model = snb.load("smollm2-135m")
    run = model.train(data, method="lora", eval_dataset="auto")
    print(model.generate("My parcel never came and the party is today!"))
    model.save("triage-adapter")

Importing this loads neither torch nor plotly; each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from shadownb._version import __version__
from shadownb.engine import registry
from shadownb.engine.live import notebook_shell
from shadownb.errors import ShadowError, ShadowWarning

if TYPE_CHECKING:
    from shadownb.engine import judging, methods, notifications, runs, sandbox, scoring, sweeps, traces
    from shadownb.engine.capture import CaptureStore, capture, captures
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.data import Dataset
    from shadownb.engine.data.leakage import leakage
    from shadownb.engine.doctor import doctor
    from shadownb.engine.endpoint import Endpoint
    from shadownb.engine.evals import Comparison, compare, environments, evaluations, suites
    from shadownb.engine.evals.evaluation import Contender, Evaluation, GateError, evaluate
    from shadownb.engine.evals.learning import LearningCurve, learning_curve
    from shadownb.engine.exports.lineage import lineage
    from shadownb.engine.exports.result import Export
    from shadownb.engine.inference import Reply
    from shadownb.engine.judging import Judge, judge, judge_group
    from shadownb.engine.methods import MethodSpec
    from shadownb.engine.models import Model, certify, load
    from shadownb.engine.models import catalog as models
    from shadownb.engine.models.ahead import fetch
    from shadownb.engine.models.merging import merge
    from shadownb.engine.models.rewards import RewardModel
    from shadownb.engine.runs import Metric, Run
    from shadownb.engine.runs.checkpoints import Checkpoint
    from shadownb.engine.scoring import Exact, JsonExact, Score, Scorer
    from shadownb.engine.serving import Server, batch, serve
    from shadownb.engine.sweeps import Sweep
    from shadownb.engine.trajectories import Trajectory, TrajectoryGroup
    from shadownb.panels import (
        CapturePanel,
        ChatPanel,
        DataPanel,
        EvaluatePanel,
        ExportPanel,
        FactsPanel,
        JudgePanel,
        RewardsPanel,
        RunPanel,
        RunsPanel,
        ServePanel,
        Studio,
        SweepPanel,
        TrainPanel,
        TrajectoriesPanel,
    )

_HOMES = {
    "CapturePanel": "shadownb.panels",
    "CaptureStore": "shadownb.engine.capture",
    "ChatPanel": "shadownb.panels",
    "Checkpoint": "shadownb.engine.runs.checkpoints",
    "Comparison": "shadownb.engine.evals",
    "DataPanel": "shadownb.panels",
    "Dataset": "shadownb.engine.data",
    "Endpoint": "shadownb.engine.endpoint",
    "EvaluatePanel": "shadownb.panels",
    "Exact": "shadownb.engine.scoring",
    "ExportPanel": "shadownb.panels",
    "FactsPanel": "shadownb.panels",
    "GateError": "shadownb.engine.evals.evaluation",
    "JsonExact": "shadownb.engine.scoring",
    "MethodSpec": "shadownb.engine.methods",
    "Metric": "shadownb.engine.runs",
    "Model": "shadownb.engine.models",
    "Reply": "shadownb.engine.inference",
    "Run": "shadownb.engine.runs",
    "RewardModel": "shadownb.engine.models.rewards",
    "RewardsPanel": "shadownb.panels",
    "RunPanel": "shadownb.panels",
    "RunsPanel": "shadownb.panels",
    "Score": "shadownb.engine.scoring",
    "Scorer": "shadownb.engine.scoring",
    "Studio": "shadownb.panels",
    "Sweep": "shadownb.engine.sweeps",
    "SweepPanel": "shadownb.panels",
    "TrainConfig": "shadownb.engine.config",
    "TrainPanel": "shadownb.panels",
    "TrajectoriesPanel": "shadownb.panels",
    "Trajectory": "shadownb.engine.trajectories",
    "TrajectoryGroup": "shadownb.engine.trajectories",
    "capture": "shadownb.engine.capture",
    "certify": "shadownb.engine.models",
    "compare": "shadownb.engine.evals",
    "Contender": "shadownb.engine.evals.evaluation",
    "Evaluation": "shadownb.engine.evals.evaluation",
    "evaluate": "shadownb.engine.evals.evaluation",
    "doctor": "shadownb.engine.doctor",
    "Export": "shadownb.engine.exports.result",
    "lineage": "shadownb.engine.exports.lineage",
    "Judge": "shadownb.engine.judging",
    "JudgePanel": "shadownb.panels",
    "judge": "shadownb.engine.judging",
    "judge_group": "shadownb.engine.judging",
    "leakage": "shadownb.engine.data.leakage",
    "LearningCurve": "shadownb.engine.evals.learning",
    "learning_curve": "shadownb.engine.evals.learning",
    "fetch": "shadownb.engine.models.ahead",
    "load": "shadownb.engine.models",
    "ServePanel": "shadownb.panels",
    "Server": "shadownb.engine.serving",
    "batch": "shadownb.engine.serving",
    "serve": "shadownb.engine.serving",
    "merge": "shadownb.engine.models.merging",
}
_MODULES = {
    "captures": "shadownb.engine.capture.captures",
    "environments": "shadownb.engine.evals.environments",
    "evaluations": "shadownb.engine.evals.evaluations",
    "judging": "shadownb.engine.judging",
    "methods": "shadownb.engine.methods",
    "notifications": "shadownb.engine.notifications",
    "registry": "shadownb.engine.registry",
    "runs": "shadownb.engine.runs",
    "sandbox": "shadownb.engine.sandbox",
    "scoring": "shadownb.engine.scoring",
    "suites": "shadownb.engine.evals.suites",
    "sweeps": "shadownb.engine.sweeps",
    "traces": "shadownb.engine.traces",
}
_RENAMED = {"models": ("shadownb.engine.models", "catalog")}

# What the package itself brings of each kind that varies. The engine asks the registry for these and imports none of them.
_IMPLEMENTATIONS = {
    "backend": {
        "torch": "shadownb.engine.backends.torch.backend:TorchBackend",
        "mlx": "shadownb.engine.backends.mlx.backend:MlxBackend",
        "llamacpp": "shadownb.engine.backends.llamacpp.backend:LlamaCppBackend",
    },
    "capture_store": {"sqlite": "shadownb.engine.capture:CaptureStore"},
    "objective": {
        "dpo": "shadownb.engine.objectives.dpo:Dpo",
        "facts": "shadownb.engine.objectives.facts:Facts",
        "reading": "shadownb.engine.objectives.reading:Reading",
        "kto": "shadownb.engine.objectives.kto:Kto",
        "reward": "shadownb.engine.objectives.reward:Reward",
        "grpo": "shadownb.engine.objectives.policy.gradient:PolicyGradient",
        "distill": "shadownb.engine.objectives.teaching.objective:Distillation",
        "sdft": "shadownb.engine.objectives.teaching.objective:SelfDistillation",
        "ppo": "shadownb.engine.objectives.policy.ppo:Ppo",
        "sft": "shadownb.engine.objectives.supervised:Supervised",
    },
    "teacher": {
        "model": "shadownb.engine.teachers.local:LocalTeacher",
        "served": "shadownb.engine.teachers.served:ServedTeacher",
    },
    "executor": {
        "thread": "shadownb.engine.runs.executors.thread:ThreadExecutor",
        "process": "shadownb.engine.runs.executors.process:ProcessExecutor",
    },
    "embedder": {"minilm": "shadownb.engine.backends.torch.embedder:MiniLm"},
    # Who keeps texts of people: asked by captures.delete(where=...), in this order.
    "eraser": {
        "runs": "shadownb.engine.runs.erasing:erase",
        "answers": "shadownb.engine.evals.erasing:erase",
        "models": "shadownb.engine.models.saves:erase",
    },
    "environment": {},
    "guest": {"trl": "shadownb.engine.backends.trl.guest:Trl"},
    "exporter": {
        "adapter": "shadownb.engine.exporters.adapter:AdapterExporter",
        "merged": "shadownb.engine.exporters.merged:MergedExporter",
        "gguf": "shadownb.engine.exporters.gguf:GgufExporter",
        "gguf-lora": "shadownb.engine.exporters.gguf:GgufLoraExporter",
        "awq": "shadownb.engine.exporters.autoround:AwqExporter",
        "gptq": "shadownb.engine.exporters.autoround:GptqExporter",
        "mlx": "shadownb.engine.exporters.mlx:MlxExporter",
    },
    "method": {
        "lora": "shadownb.engine.methods.lora:SPEC",
        "qlora": "shadownb.engine.methods.qlora:SPEC",
        "dora": "shadownb.engine.methods.dora:SPEC",
        "miss": "shadownb.engine.methods.miss:SPEC",
        "shira": "shadownb.engine.methods.shira:SPEC",
        "adapter": "shadownb.engine.methods.adapter:SPEC",
        "full": "shadownb.engine.methods.full:SPEC",
        "bitfit": "shadownb.engine.methods.bitfit:SPEC",
        "prompt": "shadownb.engine.methods.prompt:SPEC",
        "ptuning": "shadownb.engine.methods.ptuning:SPEC",
        "cpt": "shadownb.engine.methods.cpt:SPEC",
        "dpo": "shadownb.engine.methods.dpo:SPEC",
        "kto": "shadownb.engine.methods.kto:SPEC",
        "reward": "shadownb.engine.methods.reward:SPEC",
        "grpo": "shadownb.engine.methods.grpo:SPEC",
        "rloo": "shadownb.engine.methods.rloo:SPEC",
        "reinforce_pp": "shadownb.engine.methods.reinforce_pp:SPEC",
        "ppo": "shadownb.engine.methods.ppo:SPEC",
        "distill": "shadownb.engine.methods.distill:SPEC",
        "sdft": "shadownb.engine.methods.sdft:SPEC",
        "more_plus": "shadownb.engine.methods.more_plus:SPEC",
        "more": "shadownb.engine.methods.more:SPEC",
    },
    "model": {"facade": "shadownb.engine.models.model:Model", "load": "shadownb.engine.models.loading:load"},
    "panel": {
        "capture": "shadownb.panels.capture:CapturePanel",
        "trajectories": "shadownb.panels.trajectories:TrajectoriesPanel",
        "judge": "shadownb.panels.judge:JudgePanel",
        "data": "shadownb.panels.data:DataPanel",
        "train": "shadownb.panels.train:TrainPanel",
        "rewards": "shadownb.panels.rewards:RewardsPanel",
        "runs": "shadownb.panels.runs:RunsPanel",
        "sweep": "shadownb.panels.sweep:SweepPanel",
        "run": "shadownb.panels.run:RunPanel",
        "evaluate": "shadownb.panels.evaluate:EvaluatePanel",
        "facts": "shadownb.panels.facts:FactsPanel",
        "export": "shadownb.panels.export:ExportPanel",
        "serve": "shadownb.panels.serve:ServePanel",
        "chat": "shadownb.panels.chat:ChatPanel",
        "studio": "shadownb.panels.studio:Studio",
    },
    "run_store": {"folders": "shadownb.engine.runs.store:FolderStore"},
    "scorer": {
        "exact": "shadownb.engine.scoring:Exact",
        "json_exact": "shadownb.engine.scoring:JsonExact",
        "json_fields": "shadownb.engine.scoring:JsonFields",
        "numeric": "shadownb.engine.scoring:Numeric",
        "contains": "shadownb.engine.scoring:Contains",
        "regex": "shadownb.engine.scoring:Regex",
        "tool_call": "shadownb.engine.scoring:ToolCall",
        "code": "shadownb.engine.sandbox.scorer:CodeTests",
        "token_f1": "shadownb.engine.scoring:TokenF1",
        "rouge": "shadownb.engine.scoring:Rouge",
        "similarity": "shadownb.engine.backends.torch.similarity:Similarity",
        "tags": "shadownb.engine.scoring:Tags",
        "format": "shadownb.engine.scoring:Format",
        "reasoning_steps": "shadownb.engine.scoring:ReasoningSteps",
        "length": "shadownb.engine.scoring:Length",
        "repetition": "shadownb.engine.scoring:Repetition",
        "reasoning_gym": "shadownb.engine.evals.environments.reasoning:ReasoningGym",
    },
    # Scorers that are made of something: "reward_model@RUN".
    "scorer_of": {"reward_model": "shadownb.engine.models.rewards:RewardModel"},
    "suite": {
        "humaneval": "shadownb.engine.evals.suites.coding.humaneval:HumanEval",
        "humanevalpack": "shadownb.engine.evals.suites.coding.humanevalpack:HumanEvalPack",
        "humanevalpack-fix": "shadownb.engine.evals.suites.coding.humanevalpack:HumanEvalFix",
        "multipl_e": "shadownb.engine.evals.suites.coding.multipl_e:MultiPlE",
        "mbpp": "shadownb.engine.evals.suites.coding.mbpp:Mbpp",
        "sql": "shadownb.engine.evals.suites.sql.sql_eval:SqlEval",
        "gsm8k": "shadownb.engine.evals.suites.reasoning.gsm8k:Gsm8k",
        "math500": "shadownb.engine.evals.suites.reasoning.math500:Math500",
        "bbh": "shadownb.engine.evals.suites.reasoning.bbh:Bbh",
        "text": "shadownb.engine.evals.suites.known_text:Text",
        "humaneval-plus": "shadownb.engine.evals.suites.coding.humaneval_plus:HumanEvalPlus",
        "reasoning_gym": "shadownb.engine.evals.suites.reasoning.made:ReasoningGym",
        "bfcl": "shadownb.engine.evals.suites.calls.bfcl:Bfcl",
        "toolbench": "shadownb.engine.evals.suites.calls.toolbench:ToolBench",
        "lm_eval": "shadownb.engine.evals.lm_eval.suite:LmEval",
    },
}

__all__ = [
    "CapturePanel", "CaptureStore", "ChatPanel", "Checkpoint", "Comparison", "Contender", "DataPanel", "Dataset",
    "Endpoint", "EvaluatePanel", "Evaluation", "Exact", "Export", "ExportPanel", "FactsPanel", "GateError", "JsonExact", "Judge",
    "JudgePanel", "LearningCurve", "MethodSpec", "Metric", "Model", "Reply", "RewardModel", "RewardsPanel", "Run", "RunPanel",
    "RunsPanel", "Score", "Scorer", "ServePanel", "Server", "ShadowError", "ShadowWarning", "Studio", "Sweep", "SweepPanel",
    "TrainConfig", "TrainPanel", "TrajectoriesPanel", "Trajectory", "TrajectoryGroup", "__version__", "batch", "capture",
    "captures", "certify", "compare", "doctor", "environments", "evaluate", "evaluations", "fetch", "judge", "judge_group",
    "judging", "leakage", "learning_curve", "lineage", "load", "merge", "methods", "models", "notifications", "registry", "runs",
    "sandbox", "scoring", "serve", "suites", "sweeps", "traces",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = importlib.import_module(_MODULES[name])
    elif name in _RENAMED:
        module, original = _RENAMED[name]
        value = getattr(importlib.import_module(module), original)
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'shadownb' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(ipython: Any) -> None:
    """Register ``%shadow`` and ``%%shadow``; called by ``%load_ext shadownb``."""
    from shadownb.magics import load_ipython_extension as load_extension

    load_extension(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Remove what :func:`load_ipython_extension` added; called by ``%unload_ext shadownb``."""
    from shadownb.magics import unload_ipython_extension as unload_extension

    unload_extension(ipython)


def _show_in_cells() -> None:
    """Have runs and lines of progress show themselves in the cells of the kernel that imports this, if it is one."""
    shell = notebook_shell()
    if shell is not None:
        from shadownb.panels import displays

        displays.install(shell)


registry.fill(_IMPLEMENTATIONS)
_show_in_cells()
