# Two commands matter: `make archive` restores the sample archive and film, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: archive test test-slow lint clean

archive: $(VENV)/.installed
	$(BIN)/restore-batch run jobs/archive.yaml
	$(BIN)/restore-batch run jobs/video.yaml

test: $(VENV)/.installed-dev lint
	# One thread each: processes with two threads each are slower than either alone; three, since
	# tests of whole runs wait for processes of their own. The tests
	# start hundreds of processes, which read compiled modules even where a shell forbids writing them.
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

# mypy cannot follow the import hook of an editable install, so it gets the same mapping as links.
TYPES := build/types/restore_batch
lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf $(TYPES) && mkdir -p $(TYPES)
	ln -s $(CURDIR)/restore_batch/* $(CURDIR)/jobs $(CURDIR)/models $(CURDIR)/stages $(CURDIR)/pipeline $(TYPES)/
	MYPYPATH=build/types:docs/site $(BIN)/mypy -p restore_batch -m hook

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade uv

$(VENV)/.installed: pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python torch torchvision -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python torch torchvision -e '.[dev,heif,raw,s3]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info
