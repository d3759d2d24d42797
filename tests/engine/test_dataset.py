"""Dataset as an object: access, parts, fingerprint, displays, the shipped set, and what importing it costs."""

from __future__ import annotations

import random
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from shadownb.engine.data import Dataset
from shadownb.errors import DataError

ROWS = [{"text": f"row {number}"} for number in range(20)]


def test_access():
    dataset = Dataset.from_list(ROWS, name="numbers")
    assert len(dataset) == 20 and dataset[-1] == ROWS[-1] and list(dataset) == ROWS and dataset.columns == ["text"]
    part = dataset[2:6:2]
    assert part.rows == [ROWS[2], ROWS[4]] and part.name == "numbers[2:6:2]"
    assert dataset.head(3).rows == ROWS[:3] and dataset.head(3).name == "numbers[0:3]"


def test_split_is_seeded_complete_and_leaves_the_global_generator_alone():
    dataset = Dataset.from_list(ROWS)
    state = random.getstate()
    train, test = dataset.split(0.25, seed=7)
    assert random.getstate() == state
    assert (len(train), len(test)) == (15, 5)
    assert sorted(train.rows + test.rows, key=ROWS.index) == ROWS
    assert train.rows == sorted(train.rows, key=ROWS.index)
    assert dataset.split(0.25, seed=7)[1].rows == test.rows
    assert any(dataset.split(0.25, seed=seed)[1].rows != test.rows for seed in range(3))


@pytest.mark.parametrize(("size", "expected"), [(0.001, 1), (0.999, 19), (3, 3), (19, 19), (3.0, 3)])
def test_both_sides_of_a_split_have_rows(size, expected):
    train, test = Dataset.from_list(ROWS).split(size)
    assert len(test) == expected and len(train) == 20 - expected


@pytest.mark.parametrize("size", [0, 1.5, -0.1, 20, True, "0.1", float("nan")])
def test_a_split_out_of_range_is_refused(size):
    with pytest.raises(DataError, match="test_size"):
        Dataset.from_list(ROWS).split(size)


def test_one_row_cannot_be_split():
    with pytest.raises(DataError, match="one row"):
        Dataset.from_list(ROWS[:1]).split()


def test_parts_keep_the_numbers_of_the_source(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "b"}\n{"text": ""}\n')
    assert [bad.row for bad in Dataset.load(path)[1:].report.bad] == [4]


def test_the_fingerprint_knows_content_and_order_but_not_key_order():
    first = Dataset.from_list([{"prompt": "a", "answer": "b"}, {"prompt": "c", "answer": "d"}])
    same = Dataset.from_list([{"answer": "b", "prompt": "a"}, {"answer": "d", "prompt": "c"}], name="other")
    turned = Dataset.from_list(list(reversed(first.rows)))
    assert len(first.fingerprint) == 64
    assert first.fingerprint == same.fingerprint != turned.fingerprint


def test_canonical_row_says_why_a_row_is_bad():
    dataset = Dataset.from_list([{"text": "a"}, {"text": ""}])
    assert dataset.canonical_row(-2) == {"text": "a"}
    with pytest.raises(DataError) as caught:
        dataset.canonical_row(1)
    assert "text is empty" in caught.value.why
    with pytest.raises(DataError, match="row=2 is outside"):
        dataset.canonical_row(2)


class _Balanced(HTMLParser):
    void = ("br", "hr", "img", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_displays_are_escaped_and_carry_no_addresses():
    nasty = "<script>alert(1)</script>&\"'"
    rows = [
        {"messages": [{"role": "user", "content": nasty}, {"role": "assistant", "content": nasty}], nasty: nasty},
        {"messages": [{"role": nasty, "content": "x"}]},
        {nasty: 1},
    ]
    dataset = Dataset.from_list(rows, name=nasty)
    page = _Balanced()
    html = dataset._repr_html_()
    page.feed(html)
    assert page.open == [] and "script" not in page.tags
    assert "background:#" not in html and "background:white" not in html
    assert "2 rows cannot be used" in html and "unknown role" in html
    assert " at 0x" not in repr(dataset) + html
    assert "unknown role" in repr(dataset)
    assert repr(Dataset.from_list(ROWS)) == "Dataset('list', 20 rows, format='text')"


def test_the_shipped_set_is_good_and_its_splits_share_no_row():
    train, heldout = Dataset.sample("support-triage"), Dataset.sample("support-triage", split="heldout")
    assert train.report.ok and heldout.report.ok and train.format == heldout.format == "chat"
    asked = [{row["messages"][-2]["content"] for row in part.canonical_rows()} for part in (train, heldout)]
    assert not asked[0] & asked[1]
    with pytest.raises(DataError, match="Did you mean 'support-triage'"):
        Dataset.sample("support-triag")
    with pytest.raises(DataError, match="split='test'"):
        Dataset.sample(split="test")


def test_importing_and_making_a_dataset_loads_no_heavy_library():
    code = (
        "import sys\nfrom shadownb.engine.data import Dataset\nDataset.sample()._repr_html_()\n"
        "print([name for name in ('torch', 'transformers', 'pandas', 'pyarrow', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
