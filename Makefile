# Everything runs in .venv, made from pyproject.toml. `make` alone lists the targets.
# PYTHON     the interpreter .venv is made with (3.11 or later):  make setup PYTHON=python3.12
# A2LC_DATA  folder of the real data sets, passed on as an absolute path; tests that need it are skipped without it

PYTHON ?= python3
ROOT := $(CURDIR)
STAMP := .venv/.installed
# Kernels are started as plain `python`, so .venv comes first on PATH.
RUN := PATH="$(ROOT)/.venv/bin:$$PATH"
QUICKSTART := notebooks/00_quickstart.ipynb
OTHER_NOTEBOOKS := $(filter-out $(QUICKSTART),$(sort $(wildcard notebooks/*.ipynb)))
# nbval runs under its own warning rules: deprecations inside Jupyter's packages are not ours to fail on.
NBVAL := -W default --nbval-cell-timeout 300 -p no:cacheprovider
# nbval reads a cell's messages when the cell has ended; a minute of progress bars is more than the socket keeps.
# Two processes of one thread take half the time of one process of two threads; a file's tests share its runs.
# Kernels of two threads each beside other work wait for one another: one thread is faster for networks this small.
QUIET := TQDM_DISABLE=1 OMP_NUM_THREADS=1

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONNOUSERSITE := 1

.DEFAULT_GOAL := help
.PHONY: help setup lint test docs reproduce clean

help:
	@echo "make setup      create .venv and install a2lc with its tests' tools (about 6 GB on Linux: PyTorch with CUDA)"
	@echo "make reproduce  set up, then every table and figure on the embedded data; results in paper_figures/toy/"
	@echo "make test       set up, then lint, types, unit tests, the notebooks and the documentation"
	@echo "make docs       the documentation as a site: open site/index.html"
	@echo "make lint       ruff and mypy only"
	@echo "make clean      remove .venv, caches and builds; runs and results stay"

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"a2lc needs Python 3.11 or later, and $(PYTHON) is {v[0]}.{v[1]}; name another: make setup PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot create virtual environments. On Debian and Ubuntu: sudo apt-get install -y $$(basename $(PYTHON))-venv" >&2; exit 1; }
	test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	@# groundingdino-py brings opencv-python, which overwrites the contrib modules where it is unpacked after them
	.venv/bin/python -m pip install --quiet --force-reinstall --no-deps opencv-contrib-python-headless
	@touch $@

lint: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

test: lint
	$(RUN) OMP_NUM_THREADS=1 pytest -q -n 2 --dist loadfile
	$(RUN) $(QUIET) pytest -q $(NBVAL) --nbval --nbval-sanitize-with tests/sanitize.cfg $(QUICKSTART)
ifneq ($(OTHER_NOTEBOOKS),)
	$(RUN) $(QUIET) pytest -q $(NBVAL) --nbval-lax $(OTHER_NOTEBOOKS)
endif

# NO_MKDOCS_2_WARNING: an advertisement of the theme for the successor of MkDocs, which mkdocs<2 keeps out
docs: $(STAMP)
	$(RUN) NO_MKDOCS_2_WARNING=1 mkdocs build --quiet

reproduce: $(STAMP)
	$(RUN) a2lc regenerate --profile toy --jobs 2

clean:
	rm -rf .venv build dist site *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
