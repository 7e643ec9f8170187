# make run    installs what a run and its report need, and draws the default heatmap
# make test   installs what tests need and passes them, in two processes that must collect the same tests (PYTHONHASHSEED)
# make docs   builds the documentation site into build/site
# make simulations  passes the tests of claims about thousands of draws: ten minutes and more
# make figures  redraws results/figures from committed records and measurements
# make gpu    measures the 7B models on a GPU in eight minutes, in order of importance, and goes on when called again; it
#             needs the PyTorch, transformers, safetensors and jaxtyping that GPU_PYTHON has, and no network
# make lmms   asks an adapter through the real lmms-eval, which wants an environment of its own, in build/lmms; what it
#             answered is in results/lmms_eval
PYTHON ?= python3
GPU_PYTHON ?= $(PYTHON)
GPU_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test simulations fast lint types setup figures docs gpu lmms

run: $(VENV)/core  # two workers: on two cores a sixth faster than one, for one GiB more
	$(BIN)/niah run --model vilamp --num_workers 2

test: $(VENV)/test
	PYTHONHASHSEED=0 $(BIN)/python -m pytest -m "not gpu and not simulation" -n 2 --dist loadfile

simulations: $(VENV)/test
	$(BIN)/python -m pytest -m simulation

fast: $(VENV)/test
	$(BIN)/python -m pytest

DEFAULT := $(addprefix results/default/, vilamp novelty seams chance)
MICRO := results/figures/micro
PAPER := $(BIN)/niah paper
KINDS := $(BIN)/niah render --suite smoke-kinds -o results/figures/kinds
MODEL := micro ViLaMP, drawn footage, one seed
figures: $(VENV)/core
	$(BIN)/niah figures $(DEFAULT) -o results/figures/default
	$(BIN)/niah figures $(DEFAULT) -o results/figures/published --style paper --with_published
	$(PAPER) figure2 -o results/figures/paper
	$(PAPER) figure1 table5 -o results/figures/traced
	$(KINDS)/single.png needle-003.full.400.3
	$(KINDS)/when.png needle-003.when.full.400.3
	$(KINDS)/lookalike.png needle-000.lookalike.full.400.1
	$(KINDS)/lookalike-same-target.png needle-002.lookalike.full.400.2
	$(KINDS)/first.png needle-004.first.full.400.0.3.ba
	$(KINDS)/times.png needle-006.times.full.400.3
	$(PAPER) figure3 $(MICRO)/attention/whole $(MICRO)/attention/answering -o $(MICRO) --title "$(MODEL), 128 frames, 12 needles"
	$(PAPER) figure4 $(MICRO)/attention/whole -o $(MICRO) --title "$(MODEL), 128 frames, 12 needles"
	$(PAPER) figure6 $(MICRO)/keyframes/* -o $(MICRO) --title "$(MODEL), 2,000 frames, 40 needles"
	$(PAPER) table3 $(MICRO)/keyframes/* -o $(MICRO) --title "$(MODEL), 2,000 frames, 40 needles"
	$(PAPER) table6 $(MICRO)/constants/* -o $(MICRO) --title "$(MODEL), 500 frames, 40 needles"

gpu:
	$(GPU_PYTHON) -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(GPU_PYTHON) -m niah gpu --models vilamp,video_xl,llama_vid,videochat_flash $(GPU_FLAGS)

lmms: build/lmms/ready
	build/lmms/bin/python tests/lmms_eval  # a path: some package there brings a module called tests

build/lmms/ready: pyproject.toml
	$(PYTHON) -m venv build/lmms
	build/lmms/bin/python -m pip install --quiet lmms-eval "filelock<4" --editable ".[lm-eval]"
	touch $@

docs: $(VENV)/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open build/site/index.html"

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/pyright

setup: $(VENV)/ready

# One stamp for each set of extras: what is installed already is not installed again.
$(VENV)/core: EXTRAS := [report]
$(VENV)/test: EXTRAS := [test]
$(VENV)/ready: EXTRAS := [dev]
$(VENV)/docs: EXTRAS := [docs]
$(VENV)/core $(VENV)/test $(VENV)/ready $(VENV)/docs: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "VideoNIAH needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".$(EXTRAS)"
	touch $@
