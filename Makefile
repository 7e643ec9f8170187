# make run    sets everything up and draws the default heatmap
# make test   sets everything up and passes the tests
# make figures  redraws results/figures from committed records and measurements
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test fast lint types setup figures

run: setup
	$(BIN)/python -m niah.run --model vilamp

test: setup
	$(BIN)/python -m pytest -m "not gpu"

fast: setup
	$(BIN)/python -m pytest

DEFAULT := $(addprefix results/default/, vilamp uniform topk mean novelty chance)
MICRO := results/figures/micro
PAPER := $(BIN)/python -m niah.paper
MODEL := micro ViLaMP (1.5 million parameters, drawn footage, one seed)
figures: setup
	$(BIN)/python -m niah.figures $(DEFAULT) -o results/figures/default
	$(BIN)/python -m niah.figures $(DEFAULT) -o results/figures/published --style paper --with-published
	$(PAPER) figure3 $(MICRO)/attention/whole $(MICRO)/attention/answering -o $(MICRO) --title "$(MODEL), 128 frames"
	$(PAPER) figure4 $(MICRO)/attention/whole -o $(MICRO) --title "$(MODEL), 128 frames"
	$(PAPER) figure6 $(MICRO)/keyframes/* -o $(MICRO) --title "$(MODEL), depth 0.5"
	$(PAPER) table2 $(MICRO)/compressors/* -o $(MICRO) --title "$(MODEL), 128 frames, compressors exchanged without training"
	$(PAPER) table3 $(MICRO)/keyframes/* -o $(MICRO) --title "$(MODEL), depth 0.5"
	$(PAPER) table6 $(MICRO)/constants/* -o $(MICRO) --title "$(MODEL), 500 frames, depth 0.5"

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/pyright

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "VideoNIAH needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@
