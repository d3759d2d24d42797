"""Every public docstring has an example, and the examples do what they say.

They run with the names of :mod:`tests.docs.example_names`, each docstring by itself: what one defines no other one sees.
"""

from __future__ import annotations

import doctest
import io
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.public_names import Public, public_names

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE  # numbers differ by kind of CPU, and tables are wide
PUBLIC = list(public_names())


def test_every_public_name_has_an_example() -> None:
    without = [public.name for public in PUBLIC if not public.is_shown]
    assert not without, "add an 'Examples' section to the docstring of each (names in tests/docs/example_names.py)"


def test_every_public_name_has_a_docstring_of_its_own() -> None:
    assert not [public.name for public in PUBLIC if not public.doc]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The names that examples use; their files lie in the working directory, runs and captures in a home of their own."""
    from tests.docs.example_names import ExampleNames

    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(folder / "home"))
        patch.delenv("OPENAI_API_KEY", raising=False)
        patch.delenv("ANTHROPIC_API_KEY", raising=False)
        patch.chdir(folder)
        yield ExampleNames(folder)


@pytest.mark.parametrize("public", [p for p in PUBLIC if ">>> " in p.doc], ids=lambda public: public.name)
def test_the_example_does_what_it_says(public: Public, names: Any) -> None:
    used = names.names()
    test = doctest.DocTestParser().get_doctest(public.doc, dict(used), public.name, None, None)
    said = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each example would have to catch what is beside its point
        failed, tried = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.write, clear_globs=False)
    names.clean_up(test.globs)
    assert not failed, said.getvalue()
    assert tried or "+SKIP" in public.doc
