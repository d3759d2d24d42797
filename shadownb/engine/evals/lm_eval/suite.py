"""Tasks of the harness as a suite: their documents are its items, their own metric is the score."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from shadownb.engine.evals.answers import weights_of
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.turns import Turn
from shadownb.engine.home import subfolder
from shadownb.engine.inference.types import Sampling
from shadownb.engine.jsontext import dumps
from shadownb.engine.progress_bars import Bars, without_bars
from shadownb.errors import ConfigError, DataError, MissingDependencyError, ShadowWarning

_CHECKED = 20  # documents of a task on which it is seen whether it can be passed


class LmEval:
    """Tasks of lm-evaluation-harness: ``LmEval("hellaswag", "gsm8k")``, or by the name ``lm_eval:hellaswag,gsm8k``.

    The harness builds prompts, filters answers and computes its metrics; a document's score here is the first metric of its task
    that is better higher (accuracy, exact match). Its own table stands beside ours (:meth:`table`).

    Parameters
    ----------
    tasks
        Names of tasks or groups, or paths of YAML files.
    num_fewshot
        Examples before each question; None is each task's own.
    chat
        Whether questions are put into the model's chat template.
    folder
        Of YAML files whose tasks can be named.

    Attributes
    ----------
    options : dict
        What of ``num_fewshot`` and ``chat`` was chosen: it is in no item, and decides the scores.
    results : dict
        What the harness returned, by the side's ``use``.

    Raises
    ------
    ConfigError
        No task is named.
    MissingDependencyError
        lm-eval is not installed.
    """

    rules: Sequence[str] = ()
    sampling = Sampling(temperature=0.0)
    together = 10**9  # items of one call: few-shot examples are drawn in the order of the documents

    def __init__(
        self, *tasks: str, num_fewshot: int | None = None, chat: bool = False, folder: str | Path | None = None
    ) -> None:
        if not tasks:
            raise ConfigError(
                "No task of lm-eval is named.", fix="Name some: 'lm_eval:hellaswag,gsm8k', or a YAML file's path."
            )
        self._asked, self._shots, self._chat, self._folder = tasks, num_fewshot, chat, folder
        parts = [Path(task).stem if task.endswith((".yaml", ".yml")) else task for task in tasks]
        self.name = "-".join(["lm_eval", *(each.replace("*", "all") for each in parts)])[:100]
        given = {"num_fewshot": num_fewshot, "chat": chat or None}
        self.options = {name: value for name, value in given.items() if value is not None}
        self.results: dict[str, dict[str, Any]] = {}

    @cached_property
    def _loaded(self) -> dict[str, Any]:
        try:
            from lm_eval.tasks import TaskManager
        except ImportError:
            raise MissingDependencyError("lm-eval is not installed.", fix="pip install 'shadownb[lm-eval]'") from None
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        files = [task for task in self._asked if task.endswith((".yaml", ".yml"))]
        if missing := next((file for file in files if not Path(file).is_file()), None):
            raise DataError(f"There is no task file {missing}.", fix="Give the path of a YAML file, or a task's name.")
        builtin = len(files) < len(self._asked)
        try:
            found: dict[str, Any] = TaskManager(include_path=self._folder, include_defaults=builtin).load(
                list(self._asked)
            )
        except Exception as error:  # a name it does not know, a data set that is not here: of many kinds
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"lm-eval cannot load {', '.join(self._asked)}: {said}",
                fix="`lm-eval ls tasks` lists its tasks; most need their data set on the hub, or in its cache.",
            ) from error
        for task in found["tasks"].values():
            task.set_fewshot_seed(seed=1234)
            if self._shots is not None and task.get_config("num_fewshot") != 0:
                task.set_config(key="num_fewshot", value=self._shots)
        return found

    @property
    def _tasks(self) -> dict[str, Any]:
        tasks: dict[str, Any] = self._loaded["tasks"]
        return tasks

    @cached_property
    def _items(self) -> list[Item]:
        found = []
        for name, task in self._tasks.items():
            for number, doc in enumerate(task.eval_docs):
                asked, expected = _text(task.doc_to_text, doc), _text(task.doc_to_target, doc)
                found.append(
                    Item(
                        f"{name}/{number}",
                        [{"role": "user", "content": asked}],
                        expected,
                        cluster=name if len(self._tasks) > 1 else None,
                        part=name,
                    )
                )
        return found

    def items(self) -> list[Item]:
        """Return the documents of all tasks. Raises :class:`DataError` where a task or its data is not here."""
        return self._items

    def measure(self, model: Any, use: Any, items: Sequence[Item]) -> list[Verdict]:
        """Return the score of each document; of None where a model tells no probabilities."""
        if not hasattr(model, "generator") or not hasattr(model, "weights"):
            return [Verdict(None, "lm-eval asks loaded models alone")] * len(items)
        from shadownb.engine.evals.lm_eval.model import ShadowLM

        self.check()
        lm = ShadowLM(model, use if use is not None else "tuned")
        results = self._evaluated(lm, items, cache=_cache(model, use))
        if lm.cut:
            warnings.warn(
                f"{self.name}: {lm.cut} requests are longer than the model's {lm.max_length} tokens; their beginning was left out.",
                ShadowWarning,
                stacklevel=2,
            )
        self.results[str(use if use is not None else "tuned")] = results
        verdicts = {
            f"{name}/{sample['doc_id']}": self._verdict(name, sample)
            for name, samples in results["samples"].items()
            for sample in reversed(samples)  # a task's first filter is the one that counts
        }
        return [verdicts[item.id] for item in items]

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return nothing that counts: the harness asks by itself."""
        return [Verdict(None, "lm-eval asks and grades by itself")] * len(asked)

    def check(self, documents: int = _CHECKED) -> dict[str, tuple[float, float]]:
        """Return of each task the score of a model that knows its targets and of one that answers wrong; warns where not 1 and 0.

        Some tasks cannot be passed by their own target, for a blank before it or a filter that does not find it.
        """
        from shadownb.engine.evals.lm_eval.known import Known

        found = {}
        for name, task in self._tasks.items():
            if name in self._seen or task.OUTPUT_TYPE == "loglikelihood_rolling":
                continue
            some = [item for item in self._items if item.id.startswith(f"{name}/")][:documents]
            scores = []
            for right in (True, False):
                results = self._evaluated(Known(self._tasks, right=right), some)
                values = [
                    self._verdict(name, sample).value or 0.0 for sample in _first_filter(results["samples"][name])
                ]
                scores.append(sum(values) / len(values))
            found[name] = self._seen[name] = (scores[0], scores[1])
            if scores[0] < 1:
                warnings.warn(
                    f"{name}: its own targets score {100 * scores[0]:.0f} % in lm-eval, so no model is seen right beyond that.",
                    ShadowWarning,
                    stacklevel=2,
                )
            if scores[1] > 0:
                warnings.warn(
                    f"{name}: wrong answers score {100 * scores[1]:.0f} % in lm-eval.", ShadowWarning, stacklevel=2
                )
        return found or dict(self._seen)

    @cached_property
    def _seen(self) -> dict[str, tuple[float, float]]:
        return {}

    def _evaluated(self, lm: Any, items: Sequence[Item], cache: str | None = None) -> dict[str, Any]:
        from lm_eval.api.model import CachingLM
        from lm_eval.evaluator import evaluate

        numbers: dict[str, list[int]] = {}
        for item in items:
            name, _, number = item.id.rpartition("/")
            numbers.setdefault(name, []).append(int(number))
        told = {**self._loaded, "tasks": {name: self._tasks[name] for name in numbers}}
        for task in told["tasks"].values():
            task.set_fewshot_seed(seed=1234)
        whole = all(len(chosen) == len(self._tasks[name].eval_docs) for name, chosen in numbers.items())
        if not whole:
            told["groups"] = {}
        with without_bars(Bars("lm_eval", _bars_are_on, _turn_bars)):
            results: dict[str, Any] = evaluate(
                lm=CachingLM(lm, cache) if cache is not None else lm,
                task_dict=told,
                samples=None if whole else {name: sorted(chosen) for name, chosen in numbers.items()},
                bootstrap_iters=0,
                apply_chat_template=self._chat,
            )
        return results

    def _verdict(self, name: str, sample: Mapping[str, Any]) -> Verdict:
        higher = self._tasks[name].higher_is_better()
        numbers = {metric: _number(sample[metric]) for metric in sample["metrics"]}
        known = [metric for metric, value in numbers.items() if value is not None]
        if not known:
            return Verdict(None, f"its metrics {', '.join(sample['metrics'])} are not of one document")
        first = next((metric for metric in known if higher.get(metric, True)), known[0])
        said = ", ".join(f"{metric} {numbers[metric]:g}" for metric in known)
        answer = sample["filtered_resps"]
        extracted = str(answer[0]) if len(answer) == 1 else dumps(answer)
        value = numbers[first]
        assert value is not None
        outcome = ("passed" if value >= 1 else "failed") if 0 <= value <= 1 else ""
        return Verdict(value, said, extracted[:2000], outcome)

    def table(self, use: Any = "tuned") -> str:
        """Return the harness' own table of what was measured; nothing where nothing was."""
        key = str(use if use is not None else "tuned")
        if key not in self.results:
            return ""
        from lm_eval.utils import make_table

        return str(make_table(self.results[key]))


def _bar_places() -> list[Any]:
    import lm_eval.api.model
    import lm_eval.api.task

    return [lm_eval.api.model, lm_eval.api.task]


def _bars_are_on() -> bool:
    return not isinstance(_bar_places()[0].tqdm, partial)


def _turn_bars(on: bool) -> None:
    from tqdm import tqdm

    for module in _bar_places():
        module.tqdm = tqdm if on else partial(tqdm, disable=True)


def _first_filter(samples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [sample for sample in samples if sample["filter"] == samples[0]["filter"]]


def _number(value: Any) -> float | None:
    """Return a metric of one document as a number: a log-probability for so many words is one a word."""
    if isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(each, int | float) for each in value):
        return float(value[0]) / float(value[1]) if value[1] else None
    return float(value) if isinstance(value, int | float) else None


def _text(function: Any, doc: Any) -> str:
    try:
        return str(function(doc))
    except Exception:  # tasks of several inputs have none
        return ""


def _cache(model: Any, use: Any) -> str | None:
    """Return where the harness keeps answers of these weights: a kill loses little, and no other weights find them."""
    known = weights_of(model, use)
    if known is None:
        return None
    digest = hashlib.sha256(dumps(known).encode()).hexdigest()[:24]
    return str(subfolder("answers") / f"lm-eval-{digest}.db")
