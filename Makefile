# One virtual environment serves every target: what a user needs, and for tests and linters the developers' tools beside it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.installed-tools
INSTALL := scripts/install.sh $(BIN)/python --editable

.PHONY: help demo test fuzz lint docs clean

help:
	@echo "make demo   a face whose mouth moves, written to out/demo (half a minute after the installation)"
	@echo "make test   every test (under ten minutes on two cores)"
	@echo "make fuzz   odd inputs for every reader, a minute each (FUZZ_SECONDS=60); what fails is kept in out/fuzz"
	@echo "make lint   ruff and pyright"
	@echo "make docs   the generated pictures and tables of the docs, again"
	@echo "make clean  remove the environment and caches; what you made in out/ stays"

$(INSTALLED): pyproject.toml constraints.txt scripts/install.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "semanifold needs Python 3.11 or newer; try make PYTHON=python3.12")'
	@if [ -e $(INSTALLED)-before ]; then rm -rf $(VENV); fi
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade uv
	$(INSTALL) .
	@touch $@

# This may replace what is installed by other versions; if it is broken off, all is installed anew.
$(TOOLS): $(INSTALLED)
	@mv $(INSTALLED) $(INSTALLED)-before
	$(INSTALL) '.[dev]'
	@mv $(INSTALLED)-before $(INSTALLED)
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # or every process that a test starts may compile PyTorch anew
	@touch $@

demo: $(INSTALLED)
	$(BIN)/semanifold demo --out out/demo --overwrite

test: $(TOOLS)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

fuzz: $(TOOLS)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/run.py

lint: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(TOOLS)
	$(BIN)/python docs/make_factor_sheet.py
	$(BIN)/python docs/make_options_table.py

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
