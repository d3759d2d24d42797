"""Numbers in the forms in which people and models write them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from shadownb.engine.scoring import Numeric, Sample, Scoring
from shadownb.engine.scoring.numbers import numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1234", 1234), ("1,234", 1234), ("1,234.50", "1234.5"), ("12,345,678", 12345678), ("1 234", 1234),
        ("1\u202f234,5", "1234.5"),
        ("1\u00a0234\u00a0567", 1234567), ("1.234.567", 1234567), ("1.234,56", "1234.56"), ("1'234.5", "1234.5"),
        ("1_000", 1000),
        ("3.14", "3.14"), ("3,14", "3.14"), ("0,125", "0.125"), (".5", "0.5"), ("-5", -5), ("−5", -5), ("– 5", -5),
        ("+5", 5),
        ("3/4", "3/4"), ("1 3/4", "7/4"), ("½", "1/2"), ("2½", "5/2"), ("⅔", "2/3"), (r"\frac{3}{4}", "3/4"),
        (r"-\dfrac{1}{2}", "-1/2"),
        ("1e3", 1000), ("1.5E-3", "0.0015"), ("2 × 10^3", 2000), ("2*10^{-1}", "0.2"), ("50%", "1/2"), ("50 percent", "1/2"),
        ("12.5 %", "1/8"), ("$1,000", 1000), ("€ 7,50", "7.5"), (r"\$5", 5), ("-$5", -5), ("5km", 5),
    ],
)  # fmt: skip
def test_a_number_is_read_exactly(text: str, value: str | int) -> None:
    assert [number.value for number in numbers(text)] == [Fraction(value)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("from 3 to 5", [3, 5]), ("7, 8 and 9", [7, 8, 9]), ("1.2.3", [Fraction("1.2")]), ("v2", []), ("x1", []),
        ("1/0", []),
        ("9" * 100, []), ("1e9999999999", []), ("2024-11-05", [2024, 11, 5]), ("", []),
    ],
)  # fmt: skip
def test_several_and_none(text: str, values: list[int]) -> None:
    assert [number.value for number in numbers(text)] == values


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("1,234", "1234", True), ("1234", "1,234.00", True), ("0.5", "1/2", True), ("50%", "0.5", True), ("50", "50%", True),
        ("50%", "50%", True), ("0.5", "50%", True), ("5 km", "5", True), ("5", "5 km", True), ("5 kilometers", "5 km", True),
        ("5 miles", "5 km", False), ("5 apples", "5 km", True), ("$5", "5 dollars", True), ("€5", "$5", False),
        ("0.3333", "1/3", False),
        ("0.33333333", "1/3", True), ("1234567.0000001", "1234567", True), ("0", "0", True), ("-0", "0", True),
        ("0.0001", "0", False), ("43,5007", "43,500", False), ("1.234.5678", "1,234,567", False),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", True), (r"\boxed{10,\!080}", "10,080", True), ("x = 5", "5", True),
        (r"The answer is $\frac{1}{2}$.", "1/2", True),
        ("<answer>7</answer>", "#### 7", True),
    ],
)  # fmt: skip
def test_what_counts_as_the_same_number(answer: str, expected: str, right: bool) -> None:
    assert Numeric()(answer, expected).value == float(right)


@pytest.mark.parametrize(
    "gold",
    [
        "",
        "none",
        "\\boxed{",
        "41 or 42",
        "2x + 3",
        "x^2",
        "(1, 2)",
        r"3\sqrt{2}",
        r"\frac{\pi}{2}",
        "[0, 1)",
        "4i",
        "5x - 7y + 4 = 0",
    ],
)
def test_a_gold_answer_that_cannot_be_read_pays_nobody(gold: str) -> None:
    assert Scoring("numeric").score(Sample(gold, gold)).value is None
    assert Scoring("numeric").refusal(gold) is not None


def test_a_tolerance_is_a_share_of_what_is_expected() -> None:
    assert Numeric(tolerance=0.01)("101", "100").value == 1.0 and Numeric(tolerance=0.01)("102", "100").value == 0.0
    assert Numeric(tolerance=0)("0.1", "1/10").value == 1.0


def test_reading_takes_no_time_that_grows_with_the_text() -> None:
    Numeric()("1 " * 50_000 + "2", "2")
    Numeric()("1," * 50_000, "2")
    Numeric()("\\boxed{" * 5_000, "2")
    Numeric()("answer is " * 20_000, "2")
