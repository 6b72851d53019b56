# make demo | test | test-cluster | test-faults | ui | bench-books | bench-curves | bench-fills | bench-reports: each makes .venv with the pinned versions first. DESK=desks/other.toml chooses another desk.
PYTHON ?= python3
DESK ?= desk.toml
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-cluster test-desk-keys test-faults ui lint lock clean
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/tickline demo --desk "$(DESK)"

test: $(READY) lint
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# Each key of the desk changed by itself, against a run in an empty home: an hour.
test-desk-keys: $(READY)
	TICKLINE_ALL_KEYS=1 $(BIN)/pytest tests/e2e/test_provenance.py

# Ray is an extra of its own, too: its tests are skipped where it is absent.
test-cluster: $(READY)
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python "ray>=2.50,<3"
	$(BIN)/pytest tests/fills/test_backends.py

# Kills, full disks and bombs at full scale; full disks want the right to mount (docs/reliability.md).
test-faults: $(READY)
	TICKLINE_FAULTS=full $(BIN)/pytest tests/e2e/test_faults.py tests/ticks/test_bombs.py tests/pipelines/test_death.py tests/pipelines/test_publishing.py

ui: $(READY)
	$(BIN)/tickline ui --desk "$(DESK)"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/dagster definitions validate -w workspace.yaml --log-level warning

# uv because it installs a hundred packages in seconds; where it cannot reach an index that pip is set up for, pip reads the same lock.
$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tickline needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip install --quiet --system-certs --compile-bytecode --python $(BIN)/python -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Peers are an extra of their own: the default installation never has them. Without dependencies, as the lock is whole and overrides a bound (pyproject.toml).
bench-%: $(READY) .venv/.bench
	$(BIN)/python -m benchmarks.$*

.venv/.bench: $(READY) requirements-bench.lock
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps -r requirements-bench.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-bench.lock
	touch $@

lock:
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --python-version 3.11 --extra dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --python-version 3.11 --extra bench -c requirements.lock pyproject.toml -o requirements-bench.lock

clean:
	rm -rf var
