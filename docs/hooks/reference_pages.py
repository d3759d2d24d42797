"""The reference: a page for each part of what ``shadownb`` exports, and one of the options of a training."""

from __future__ import annotations

from collections.abc import Iterator

import shadownb
from shadownb.engine import capabilities
from shadownb.engine.config import GROUPS
from shadownb.engine.config_fields import ConfigField, config_fields

# (title, page, exported names); what stands nowhere comes to the last one.
_PARTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Models", "models", ("load", "Model", "models", "fetch", "Endpoint", "certify", "Export", "merge", "lineage")),
    ("Data", "data", ("Dataset", "leakage")),
    ("Training", "training", ("TrainConfig", "methods")),
    ("Runs", "runs", ("Run", "runs", "Sweep", "sweeps", "notifications")),
    (
        "Comparing",
        "comparing",
        (
            "compare",
            "evaluate",
            "Evaluation",
            "Contender",
            "GateError",
            "learning_curve",
            "LearningCurve",
            "Score",
            "Scorer",
            "Exact",
            "JsonExact",
            "suites",
            "evaluations",
        ),
    ),
    ("Scorers and rewards", "scoring", ("scoring", "RewardModel", "sandbox")),
    ("Environments", "environments", ("environments",)),
    ("Serving", "serving", ("serve", "Server", "batch")),
    ("Judging", "judging", ("judge", "judge_group", "Judge", "judging")),
    ("Recording", "recording", ("capture", "captures", "CaptureStore", "Trajectory", "TrajectoryGroup", "traces")),
    (
        "Panels",
        "panels",
        (
            "Studio",
            "DataPanel",
            "TrainPanel",
            "RunPanel",
            "RunsPanel",
            "SweepPanel",
            "EvaluatePanel",
            "ChatPanel",
            "CapturePanel",
            "TrajectoriesPanel",
            "JudgePanel",
            "RewardsPanel",
            "FactsPanel",
            "ExportPanel",
            "ServePanel",
        ),
    ),
    ("Extending, errors, the machine", "more", ("registry", "doctor", "ShadowError", "ShadowWarning")),
)
_MODULES = (
    "methods",
    "runs",
    "sweeps",
    "notifications",
    "captures",
    "traces",
    "registry",
    "scoring",
    "sandbox",
    "suites",
    "environments",
    "evaluations",
    "judging",
)
WHOLE = (
    "CaptureStore",
    "Model",
    "Dataset",
    "Run",
    "TrainConfig",
    "CaptureStore",
    "capture",
)  # shown with what they inherit from classes of ours
# What the engine does with an object of a user's, and no user; it is not shown.
FOR_THE_ENGINE = {
    "Model": (
        "begin_run", "catch_up", "detach_adapter", "edited", "load_adapter", "renderer_of", "require_loaded", "restore_start",
        "save_tokenizer", "start_renderer", "trained_in_place", "use_renderer",
    ),
    "TrainConfig": ("as_given", "model_post_init"),
    "CaptureStore": ("checkpoint", "read", "writing"),
    "Run": ("journalled",),
    "Sweep": ("drive",),
    "SweepPanel": ("link",),
    "notifications.Channel": ("address", "where"),
    "RunPanel": ("get_state",),
    "Scorer": ("name",),
    "RewardModel": ("compute", "named"),
    "Checkpoint": ("of",),
    "Endpoint": ("kept_under",),
    "Contender": ("cases", "identity", "origin", "side"),
    "CapturePanel": ("take_model",),
    "DataPanel": ("take_model",),
    "Dataset": ("matching",),
    "EvaluatePanel": ("fill", "take_model", "take_run"),
    "ExportPanel": ("fill",),
    "RunsPanel": ("take_run",),
    "Judge": ("score_many",),
    "ServePanel": ("fill", "take_model"),
    "TrainPanel": ("branch", "take_choice", "take_split"),
    "JudgePanel": ("take_store",),
    "Server": ("start",),
    "LearningCurve": ("of",),
    "suites.Rows": ("grade", "items"),
    "suites.Suite": ("grade", "items", "name", "rules", "sampling"),
    "suites.Text": ("grade", "items", "measure"),
    "suites.Verdict": ("to_dict",),
    "Reply": ("from_completion",),
    "registry": ("fill",),
    "runs.FolderStore": (
        "active", "all", "columns", "create", "delete", "entries", "find", "restore", "starts", "store_rows", "trash", "trashed",
    ),
    "scoring": ("Sample", "ScorerFailed", "Scoring"),
    "scoring.Cached": ("check", "score_many"),
    "scoring.Contains": ("check",),
    "scoring.JsonFields": ("check",),
    "scoring.Numeric": ("check",),
    "scoring.Regex": ("check",),
    "scoring.Weighted": ("check", "score_many"),
    "sandbox": ("Wall",),
    "traces.LeftOut": ("add",),
    "traces.TraceReport": ("keep_untrained", "leave_out"),
}  # fmt: skip
_HIDDEN = ("__version__",)
# tests/docs/example_names.py makes them for the test that runs the examples.
_NAMES = (
    "In the examples `snb` is `shadownb`, `rows` are twelve support messages with the queue each belongs to, `run` is a training "
    "on them that has ended, `model` the small model that it trained, and `store` a recording of three calls."
)


def navigation() -> list[tuple[str, str]]:
    """Return title and page of each."""
    parts = [(title, f"reference/{page}.md") for title, page, _ in _PARTS]
    return [("Options of a training", "reference/options.md"), *parts]


def pages() -> Iterator[tuple[str, str]]:
    """Yield each page."""
    yield "reference/options.md", _options()
    placed = {name for *_, names in _PARTS for name in names}
    rest = tuple(name for name in shadownb.__all__ if name not in placed and name not in _HIDDEN)
    for number, (title, page, names) in enumerate(_PARTS, start=1):
        there = [name for name in (*names, *(rest if number == len(_PARTS) else ())) if name in shadownb.__all__]
        yield f"reference/{page}.md", "\n".join([f"# {title}", "", _NAMES, "", *(_entry(name) for name in there)])


def _entry(name: str) -> str:
    heading = f"## `shadownb.{name}` {{ #shadownb.{name} }}"
    if name == "models":  # a function; the module of this name is another thing
        return f"{heading}\n\n::: shadownb.engine.models.catalog.catalog\n{_options_of()}"
    if name in _MODULES:
        module = getattr(shadownb, name)
        own = getattr(module, "__all__", None)
        if own is not None:  # without what stands on a page of its own already
            own = [member for member in own if getattr(module, member) is not getattr(shadownb, member, None)]
        return f"{heading}\n\n::: {module.__name__}\n{_options_of(own)}"
    options = ["      inherited_members: true"] if name in WHOLE else []
    if name in FOR_THE_ENGINE:
        hidden = "|".join(FOR_THE_ENGINE[name])
        options.append(f'      filters: ["!^_", "!^({hidden})$"]')
    return "\n".join([f"::: shadownb.{name}", *(["    options:", *options] if options else []), ""])


def _options_of(members: list[str] | None = None) -> str:
    lines = ["    options:", "      show_root_heading: false", "      show_root_toc_entry: false"]
    if members is not None:
        lines.append(f"      members: [{', '.join(members)}]")
    return "\n".join(lines) + "\n"


def _options() -> str:
    methods = capabilities.table()
    lines = [
        "# Options of a training",
        "",
        "Every option of `shadownb.TrainConfig`. `model.train(rows, lora_r=8)` takes each by its name, `%shadow train` and",
        "`shadownb train` as `--lora-r 8`, a YAML file as `lora_r: 8`, and the Train panel's form has them all. An option that the",
        "chosen method does not use is refused.",
        "",
    ]
    every = config_fields()
    for group in dict.fromkeys((*GROUPS, *(field.group for field in every))):
        fields = [field for field in every if field.group == group]
        if fields:
            lines += [f"## {group.capitalize()}", "", *option_table(fields, methods), ""]
    return "\n".join(lines)


def option_table(
    fields: list[ConfigField], methods: dict[str, dict[str, bool]] | None = None, **defaults: object
) -> list[str]:
    """Return a table of options; with ``methods`` who honours each, with ``defaults`` other values than the usual ones."""
    used = ["used by"] if methods is not None else []
    lines = [table_row(["option", "default", "what it does", *used]), table_row(["---"] * (3 + len(used)))]
    for field in fields:
        value = defaults.get(field.name, field.default)
        words = f"{field.help} {_range(field)}".strip()
        users = [_users(field.name, methods)] if methods is not None else []
        lines.append(table_row([f"`{field.name}`", _shown(value), words, *users]))
    return lines


def _users(name: str, methods: dict[str, dict[str, bool]]) -> str:
    there = [method for method, honoured in methods.items() if honoured.get(name)]
    if len(there) == len(methods):
        return "all"
    if len(there) > len(methods) / 2:
        return "all but " + ", ".join(f"`{method}`" for method in methods if method not in there)
    return ", ".join(f"`{method}`" for method in there)


def _range(field: ConfigField) -> str:
    if field.choices:
        return "One of " + ", ".join(f"`{choice}`" for choice in field.choices) + "."
    low = f"at least {field.minimum:g}" if field.minimum is not None else ""
    low = f"above {field.exclusive_minimum:g}" if field.exclusive_minimum is not None else low
    high = f"at most {field.maximum:g}" if field.maximum is not None else ""
    high = f"below {field.exclusive_maximum:g}" if field.exclusive_maximum is not None else high
    limits = ", ".join(part for part in (low, high) if part)
    return f"A number {limits}." if limits and field.kind in ("int", "float") else ""


def _shown(value: object) -> str:
    if value is None or value in ("", ()):
        return "--"
    return f"`{value}`" if not isinstance(value, float) else f"`{value:g}`"


def table_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
