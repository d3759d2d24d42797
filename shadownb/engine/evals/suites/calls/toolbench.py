"""ToolBench's API selection: which of the listed APIs a request needs (queries of StableToolBench, Guo et al. 2024).

Nothing is called, so nothing depends on servers that are gone, and no model judges: the APIs that a query was made of are known.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.suites.scored import asks
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.engine.scoring.answers import without_reasoning
from shadownb.errors import ConfigError

SETS = ("G1_instruction", "G1_category", "G1_tool", "G2_instruction", "G2_category", "G3_instruction")
_FIX = (
    "Set SHADOWNB_DATA to a folder that has toolbench/ with G1_instruction.json and so on (THUNLP-MT/StableToolBench)."
)
_ASKED = """Which of these APIs does the request need? Answer with a list of their numbers, such as [2, 5], and nothing else.

Request: {query}

APIs:
{listed}"""
_LIST = re.compile(r"\[\s*(\d+(?:\s*,\s*\d+)*)?\s*\]")
RULES = ("last list", "all numbers")


class ToolBench:
    """APIs to select; the score is F1 of the selected and the needed ones. ``toolbench:G1_tool`` asks for some sets alone.

    Attributes
    ----------
    skipped : int
        Requests that need every API that is listed, so that there is nothing to select.

    Raises
    ------
    ConfigError
        There is no such set.
    """

    rules: Sequence[str] = RULES
    sampling = Sampling(temperature=0.0, max_new_tokens=128)

    def __init__(self, *chosen: str) -> None:
        if unknown := [each for each in chosen if each not in SETS]:
            raise ConfigError(f"set={unknown[0]!r} is not one of ToolBench.", fix=f"Use {', '.join(SETS)}.")
        self._sets = chosen or SETS
        self.name = "-".join(["toolbench", *chosen])[:100]
        self.skipped = 0

    @cached_property
    def _items(self) -> list[Item]:
        found, self.skipped = [], 0
        for each in self._sets:
            path = places.file(f"toolbench/{each}.json", of="ToolBench", fix=_FIX)
            for row in json.loads(path.read_text(encoding="utf-8")):
                item = _item(each, row)
                self.skipped += item is None
                found += [item] if item is not None else []
        return found

    def items(self) -> list[Item]:
        """Return the requests in which there is something to select. Raises :class:`DataError` where they are not here."""
        return self._items

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return F1 of the selected APIs."""
        return [_verdict(item, answer.text) for item, answer in asked]


def _item(name: str, row: Mapping[str, Any]) -> Item | None:
    listed = {(api["tool_name"], api["api_name"]): api for api in row["api_list"]}
    needed = {(tool, api) for tool, api in row["relevant APIs"]} & set(listed)
    if not needed or len(needed) == len(listed):
        return None
    order = sorted(listed)
    random.Random(str(row["query_id"])).shuffle(order)  # those that are needed stand first in many rows
    lines = [f"{number}. {_described(listed[each])}" for number, each in enumerate(order, start=1)]
    right = sorted(order.index(each) + 1 for each in needed)
    asked = _ASKED.format(query=row["query"], listed="\n".join(lines))
    needed_here = {"right": right, "count": len(order)}
    return Item(f"{name}/{row['query_id']}", asks(asked), str(right), row=needed_here, part=name)


def _described(api: Mapping[str, Any]) -> str:
    told = re.sub(r"\s+", " ", str(api.get("api_description") or "")).strip()[:200]
    names = ", ".join(
        each["name"] for each in (*api.get("required_parameters", ()), *api.get("optional_parameters", ()))
    )
    return f"{api['tool_name']}: {api['api_name']}" + (f" ({names})" if names else "") + (f". {told}" if told else "")


def _verdict(item: Item, answer: str) -> Verdict:
    text = without_reasoning(answer)
    lists = _LIST.findall(text)
    by_rule = {
        RULES[0]: {int(each) for each in re.findall(r"\d+", lists[-1])} if lists else None,
        RULES[1]: {int(each) for each in re.findall(r"\d+", text)} or None,
    }
    scores = {rule: _f1(set(item.row["right"]), chosen) for rule, chosen in by_rule.items()}
    chosen = by_rule[RULES[0]]
    if chosen is None:
        return Verdict(0.0, "it holds no list of numbers", text[-200:], "no list", scores)
    wrong, missed = chosen - set(item.row["right"]), set(item.row["right"]) - chosen
    said = "; ".join(
        f"{what} {', '.join(map(str, sorted(each)))}"
        for what, each in (("needless", wrong), ("missed", missed))
        if each
    )
    return Verdict(scores[RULES[0]], said, str(sorted(chosen)), "failed" if said else "passed", scores)


def _f1(right: set[int], chosen: set[int] | None) -> float:
    return 2 * len(right & chosen) / (len(right) + len(chosen)) if chosen else 0.0
