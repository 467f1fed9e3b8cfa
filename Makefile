# Everything runs in .venv, made from pyproject.toml. `make` alone lists the targets.
# PYTHON     the interpreter .venv is made with (3.11 or later):  make setup PYTHON=python3.12
# LATEST     `make setup LATEST=1` takes the newest versions that pyproject.toml allows, instead of those of constraints.txt
# A2LC_DATA  folder of the real data sets, passed on as an absolute path; tests that need it are skipped without it

PYTHON ?= python3
ROOT := $(CURDIR)
STAMP := .venv/.installed
# Which versions .venv holds is kept in the stamp: a plain `make setup` asks for the pinned ones, other targets for what is there.
VERSIONS := $(or $(if $(LATEST),latest),$(if $(filter setup,$(MAKECMDGOALS)),pinned),$(shell cat $(STAMP) 2>/dev/null),pinned)
PIP := .venv/bin/python -m pip install --quiet
# groundingdino-py brings opencv-python, which overwrites the contrib modules where it is unpacked after them.
AGAIN := $(PIP) --force-reinstall --no-deps
INSTALL_latest := $(PIP) --upgrade --upgrade-strategy eager --editable '.[dev]' && $(AGAIN) opencv-contrib-python-headless
# Pinned, every file is compared with its SHA-256; the checkout itself has none, so it comes without its dependencies.
INSTALL_pinned := $(PIP) --require-hashes --requirement hashes.txt && $(PIP) --no-deps --editable . && \
  awk '/^[^ ]/ {on = /^opencv-contrib-python-headless=/} on' hashes.txt >.venv/again.txt && $(AGAIN) --require-hashes --requirement .venv/again.txt
REPRODUCED := reproduced
# Kernels are started as plain `python`, so .venv comes first on PATH.
RUN := PATH="$(ROOT)/.venv/bin:$$PATH"
QUICKSTART := notebooks/00_quickstart.ipynb
OTHER_NOTEBOOKS := $(filter-out $(QUICKSTART),$(sort $(wildcard notebooks/*.ipynb)))
# nbval runs under its own warning rules: deprecations inside Jupyter's packages are not ours to fail on.
NBVAL := -W default --nbval-cell-timeout 1200 -p no:cacheprovider
# nbval reads a cell's messages when the cell has ended; a minute of progress bars is more than the socket keeps.
# Two processes of one thread take half the time of one process of two threads; a file's tests share its runs.
# Kernels of two threads each beside other work wait for one another: one thread is faster for networks this small.
QUIET := TQDM_DISABLE=1 OMP_NUM_THREADS=1

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONNOUSERSITE := 1

.DEFAULT_GOAL := help
.PHONY: help setup constraints lint audit test test-long test-quickstart test-notebooks docs notebooks reproduce clean

help:
	@echo "make setup      create .venv and install a2lc with its tests' tools (about 7 GB on Linux: PyTorch with CUDA),"
	@echo "                in the versions of constraints.txt, files compared with hashes.txt; LATEST=1: in the newest ones"
	@echo "make reproduce  set up, then every table and figure on the embedded data, in $(REPRODUCED)/toy/, beside the committed ones"
	@echo "make test       set up, then lint, types, unit tests, the documentation and the notebooks"
	@echo "make test-long  the tests that take minutes each, which CI runs, too"
	@echo "make docs       the documentation as a site: open site/index.html"
	@echo "make lint       ruff and mypy only"
	@echo "make audit      ask a database of advisories about the versions of constraints.txt"
	@echo "make constraints  write the versions that .venv holds into constraints.txt, and hashes.txt"
	@echo "make notebooks  execute all notebooks in place with their defaults, as they are committed"
	@echo "make clean      remove .venv, caches and builds; runs and results stay"

setup:
	@test "$$(cat $(STAMP) 2>/dev/null)" = $(VERSIONS) || rm -f $(STAMP)
	@$(MAKE) --no-print-directory $(STAMP) VERSIONS=$(VERSIONS)

$(STAMP): pyproject.toml hashes.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"a2lc needs Python 3.11 or later, and $(PYTHON) is {v[0]}.{v[1]}; name another: make setup PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot create virtual environments. On Debian and Ubuntu: sudo apt-get install -y $$(basename $(PYTHON))-venv" >&2; exit 1; }
	test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	@echo "Installing a2lc with its tests' tools into .venv, about 7 GB: five to twenty minutes, in which pip says nothing."
	$(INSTALL_$(VERSIONS))
	@echo $(VERSIONS) >$@

constraints: $(STAMP)
	@{ echo "# Versions that the committed results of profile toy are made with; \`make setup LATEST=1 constraints\` renews them."; \
	  .venv/bin/python -m pip freeze --exclude-editable; } >constraints.new
	@mv constraints.new constraints.txt
	@$(PYTHON) -m venv .venv/uv && .venv/uv/bin/python -m pip install --quiet uv
	@{ echo "# The versions of constraints.txt with the SHA-256 of their files, for every system: \`make constraints\` renews it, \`make setup\` compares."; \
	  .venv/uv/bin/uv pip compile --quiet pyproject.toml --extra dev --constraint constraints.txt --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --no-header; } >hashes.new
	@mv hashes.new hashes.txt
	@echo pinned >$(STAMP)

lint: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

audit:
	@PYTHON=$(PYTHON) .ci/audit

test: lint
	@# in the order of tests/conftest.py, not the files with the most tests first
	$(RUN) OMP_NUM_THREADS=1 pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not long"
	$(MAKE) --no-print-directory --jobs 2 test-quickstart test-notebooks

# Ends of processes by any signal and at any file, people and their keys at any speed, the film of the documentation.
test-long: $(STAMP)
	$(RUN) OMP_NUM_THREADS=1 pytest -q -n 2 --dist loadfile -m long

# Side by side: runs that both need are played by one, and the other waits for them.
test-quickstart:
	$(RUN) $(QUIET) pytest -q $(NBVAL) --nbval --nbval-sanitize-with tests/sanitize.cfg $(QUICKSTART)

test-notebooks:
	$(RUN) $(QUIET) pytest -q -n 2 --dist loadfile $(NBVAL) --nbval-lax $(OTHER_NOTEBOOKS)

# NO_MKDOCS_2_WARNING: an advertisement of the theme for the successor of MkDocs, which mkdocs<2 keeps out
docs: $(STAMP)
	$(RUN) NO_MKDOCS_2_WARNING=1 mkdocs build --quiet

# without the times of execution, which would change with every run
notebooks: $(STAMP)
	$(RUN) $(QUIET) jupyter nbconvert --log-level WARN --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False $(QUICKSTART) $(OTHER_NOTEBOOKS)

reproduce: $(STAMP)
	$(RUN) OMP_NUM_THREADS=1 a2lc regenerate --profile toy --jobs 2 --out $(REPRODUCED)
	$(RUN) a2lc compare paper_figures/toy $(REPRODUCED)/toy

clean:
	rm -rf .venv build dist site *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
