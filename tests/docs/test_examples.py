"""Every public docstring has an example, and the examples do what they say.

They run with the names of :mod:`tests.docs.example_names`, each docstring by itself: what one defines no other one sees.
"""

from __future__ import annotations

import doctest
import importlib
import io
import pkgutil
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from shadownb.engine import ports
from tests.docs.building import ROOT
from tests.docs.public_names import Public, public_names

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE  # numbers differ by kind of CPU, and tables are wide
PUBLIC = list(public_names())


def test_every_public_name_has_an_example() -> None:
    without = [public.name for public in PUBLIC if not public.is_shown]
    assert not without, "add an 'Examples' section to the docstring of each (names in tests/docs/example_names.py)"


def test_every_public_name_has_a_docstring_of_its_own() -> None:
    assert not [public.name for public in PUBLIC if not public.doc]


# What the engine sees of a model, a run, a decision: values and views, which nobody implements outside of it.
_NO_PORTS = {"backend_facts", "decisions", "loaded", "reach", "run"}


def test_every_port_names_its_recipe_or_its_suite() -> None:
    recipes = set(re.findall(r"^### (.+)$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE))
    for module in pkgutil.iter_modules(ports.__path__):
        if module.name in _NO_PORTS:
            continue
        told = importlib.import_module(f"{ports.__name__}.{module.name}").__doc__ or ""
        named = re.findall(r'CONTRIBUTING.md, "([^"]+)"', told)
        suites = re.findall(r"tests/\w+/test_\w+\.py", told)
        assert named or suites, module.name
        assert set(named) <= recipes and all((ROOT / suite).is_file() for suite in suites), module.name


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
