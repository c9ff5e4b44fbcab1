# One target per intent; `make` lists them. Set-up happens by itself, once.

PYTHON ?= python3
SHOP ?= online_retail
PORT ?= 8000
WORKERS ?= 2

BIN := .venv/bin
STAMP := .venv/.installed
MODEL := recsys_$(SHOP)
DATA := data$(if $(filter-out online_retail,$(SHOP)),/$(SHOP))
EXPERIMENTS := $(wildcard conf/$(if $(filter-out online_retail,$(SHOP)),$(SHOP),base)/experiments.yml)
SEASONS := $(wildcard conf/$(if $(filter-out online_retail,$(SHOP)),$(SHOP),base)/parameters_seasons.yml)
TRACKING_URI := sqlite:///$(CURDIR)/mlflow.db

# uv does not read pip's settings; these hand them on (CPU wheels of torch, for one).
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

# Nothing reports home.
export KEDRO_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

# Found by itself from here, but not from the notebooks' folder.
export KEDRO_LOGGING_CONFIG := $(CURDIR)/conf/logging.yml

.DEFAULT_GOAL := help
.PHONY: help run test test-slow check serve rollback lab notebooks viz ab-demo soak lock clean

help:
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@grep -l __main__ benchmarks/*.py | sed 's|benchmarks/|make bench-|; s|\.py$$||; s/_/-/g'

run: $(STAMP) ## data to served model: the whole pipeline. ARGS="--env=simulated" for another shop
	$(BIN)/kedro run $(ARGS)

# Small models gain nothing by threads, and threads that wait for a core spin.
test: check ## everything that has to hold before a commit
	KEDRO_ENV=test OMP_NUM_THREADS=1 $(BIN)/pytest $(ARGS)

test-slow: $(STAMP) ## the tests that take minutes
	$(BIN)/pytest -m slow tests $(ARGS)

check: $(STAMP) ## format, lint, types, architecture
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

serve: $(STAMP) ## answer requests with the champion: SHOP, PORT, WORKERS; RECSYS_* are its options
	@MLFLOW_TRACKING_URI=$(TRACKING_URI) \
	RECSYS_METRICS_PORT=$${RECSYS_METRICS_PORT-$$(($(PORT) + 1))} \
	RECSYS_IMPRESSIONS_FOLDER=$${RECSYS_IMPRESSIONS_FOLDER-$(DATA)/07_model_output/impressions} \
	RECSYS_EXPERIMENTS_FILE=$${RECSYS_EXPERIMENTS_FILE-$(EXPERIMENTS)} \
	RECSYS_SEASONS_FILE=$${RECSYS_SEASONS_FILE-$(SEASONS)} \
	$(BIN)/python -m recsys_kedro.serving.launch $(MODEL) --port $(PORT) --workers $(WORKERS)

rollback: $(STAMP) ## the champion before this one is champion again: ARGS="--env=…" for another shop
	$(BIN)/kedro run --pipelines=rollback $(ARGS)

lab: $(STAMP) ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --LabApp.news_url= \
		--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(ARGS) notebooks

notebooks: $(STAMP) ## run all notebooks and render them as HTML: KEDRO_ENV=… for another shop
	$(BIN)/jupyter nbconvert --execute --to html --log-level WARN --output-dir \
		data$(if $(filter-out base,$(KEDRO_ENV)),/$(KEDRO_ENV))/08_reporting/notebooks notebooks/*.ipynb

viz: $(STAMP) ## the pipeline as a graph, in the browser
	$(BIN)/kedro viz run $(ARGS)

bench-%: $(STAMP) ## measure; the figures go to data/08_reporting/benchmarks
	$(BIN)/python benchmarks/$(subst -,_,$*).py $(ARGS)

soak: $(STAMP) ## half an hour at 70 % of what a server can take; the figures as above
	$(BIN)/python benchmarks/serving.py --soak 30 $(ARGS)

ab-demo: $(STAMP) ## a whole A/B test on simulated shoppers, and its truth: ten minutes
	$(BIN)/python benchmarks/ab_demo.py $(ARGS)

lock: $(STAMP) ## choose the newest allowed versions anew
	$(BIN)/uv pip compile pyproject.toml --python-version 3.11 --all-extras --upgrade --quiet \
		--no-emit-find-links --no-emit-index-url --no-annotate --no-header \
		--output-file requirements.lock
	sed -i.orig 's/+cpu$$//' requirements.lock && rm requirements.lock.orig

clean: ## remove caches and what the default shop's run wrote; keeps raw data, models and the environment
	rm -rf data/0[2-8]_* build .viz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed. Name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-build-isolation --no-deps -e .
	@touch $@
