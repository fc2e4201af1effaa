# Two commands do it all: 'make demo' and 'make test'. Both make .venv and install where needed.
# PYTHON=/path/to/python3.11 chooses the interpreter; without it, Python 3.11 or 3.12 is found.

LIPO := .venv/bin/lipo
PY := .venv/bin/python
SOURCES := .

.DEFAULT_GOAL := help
.PHONY: help install demo reproduce test lint clean

help:
	@echo "make demo     train three experts with LIPO, merge them, evaluate, write a report"
	@echo "make reproduce  the paper's results in small, for docs/evidence.md (some hours; QUICK=1: minutes; STUDIES=all: a day)"
	@echo "make test     lint, check types, run every test"
	@echo "make install  make .venv and install (demo and test do it by themselves)"
	@echo "make lint     ruff and mypy only"
	@echo "make clean    remove .venv and caches; results under runs/ stay"

install:
	@$(or $(PYTHON),python3) install/environment.py $(if $(PYTHON),--python=$(PYTHON))

demo: install
	@$(LIPO) demo

# The paper's results; STUDIES=all adds ours, or name some of recipes/tiny/studies. Experts come before what is made of them.
STUDIES := lengths mixture merging
ALL := lengths lengths_again lengths_constant weights_ocr dapo dapo_again gamma family ablation ablation_ocr mixture short \
	merging merging_uneven merging_dapo merging_constant amm_ablation video
CHOSEN := $(if $(QUICK),quick,$(patsubst all,$(ALL),$(STUDIES)))
UNKNOWN = $(filter-out $(ALL) quick,$(CHOSEN))
# Elsewhere than docs/results nothing has been measured yet: a new run.
RESULTS := docs/results
NEW := $(filter-out docs/results,$(RESULTS))
SHARED = $(shell sed -n 's|^measurements: docs/results/||p' recipes/tiny/studies/$1.yaml)
STUDY = $(PY) -m recipes.tiny.$1 recipes/tiny/studies/$2.yaml $(if $(SEEDS),'seeds=[$(SEEDS)]') $(if $(NEW),results=$(NEW)/$2)
TRAIN = $(call STUDY,study,$1) $(if $(NEW),$(addprefix measurements=$(NEW)/,$(SHARED))) $(if $(JOBS),jobs=$(JOBS))
define RUN
$(if $(filter merging% amm_ablation,$1),$(call STUDY,merge_study,$1),$(TRAIN))

endef
reproduce: install
	$(if $(UNKNOWN),$(error no study '$(UNKNOWN)'; there are: $(ALL)))
	$(foreach study,$(CHOSEN),$(call RUN,$(study)))
	$(if $(QUICK)$(NEW),,$(PY) -m recipes.tiny.evidence)

lint: install
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m mypy

# Two at a time where memory allows, as a training takes 8 GB; in the order of the files, in which the long ones come first.
WORKERS ?= $(shell awk '/^MemAvailable/ {print ($$2 > 18000000) ? 2 : 0}' /proc/meminfo)
PARALLEL = -n $(WORKERS) --dist loadscope --no-loadscope-reorder
test: lint
	$(PY) -m pytest $(PARALLEL) -m "not slow"
	$(PY) -m pytest $(PARALLEL) --durations=30 -v -m slow

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
