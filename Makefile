# Two commands do it all: 'make demo' and 'make test'. Both make .venv and install where needed.
# PYTHON=/path/to/python3.11 chooses the interpreter; without it, Python 3.11 or 3.12 is found.

LIPO := .venv/bin/lipo
PY := .venv/bin/python
SOURCES := .

.DEFAULT_GOAL := help
.PHONY: help install demo reproduce test lint clean

help:
	@echo "make demo     train three experts with LIPO, merge them, evaluate, write a report"
	@echo "make reproduce  the studies behind docs/evidence.md (many hours; QUICK=1: one of them, in little; SEEDS=1 JOBS=2)"
	@echo "make test     lint, check types, run every test"
	@echo "make install  make .venv and install (demo and test do it by themselves)"
	@echo "make lint     ruff and mypy only"
	@echo "make clean    remove .venv and caches; results under runs/ stay"

install:
	@$(or $(PYTHON),python3) install/environment.py $(if $(PYTHON),--python=$(PYTHON))

demo: install
	@$(LIPO) demo

STUDY := $(PY) -m recipes.tiny.study recipes/tiny/studies
MERGE_STUDY := $(PY) -m recipes.tiny.merge_study recipes/tiny/studies
STUDY_SEEDS := $(if $(SEEDS),'seeds=[$(SEEDS)]')
STUDY_JOBS := $(if $(JOBS),jobs=$(JOBS))
reproduce: install
ifdef QUICK
	$(STUDY)/quick.yaml $(STUDY_JOBS)
else
	$(STUDY)/lengths.yaml $(STUDY_SEEDS) $(STUDY_JOBS)
	$(STUDY)/lengths_constant.yaml $(STUDY_SEEDS) $(STUDY_JOBS)
	$(STUDY)/weights_ocr.yaml $(STUDY_SEEDS) $(STUDY_JOBS)
	$(STUDY)/dapo.yaml $(STUDY_SEEDS) $(STUDY_JOBS)
	$(STUDY)/gamma.yaml $(STUDY_SEEDS) $(STUDY_JOBS)
	$(STUDY)/family.yaml $(STUDY_JOBS)
	$(STUDY)/ablation.yaml $(STUDY_SEEDS) $(STUDY_JOBS)
	$(STUDY)/ablation_ocr.yaml $(STUDY_SEEDS) $(STUDY_JOBS)
	$(STUDY)/mixture.yaml $(STUDY_SEEDS) $(STUDY_JOBS)
	$(STUDY)/short.yaml $(STUDY_SEEDS) $(STUDY_JOBS)
	$(MERGE_STUDY)/merging.yaml $(STUDY_SEEDS) 'others.mixture=runs/studies/lengths/models/mixture-lipo-{seed}'
	$(MERGE_STUDY)/merging_uneven.yaml $(STUDY_SEEDS)
	$(MERGE_STUDY)/merging_dapo.yaml $(STUDY_SEEDS)
	$(MERGE_STUDY)/merging_constant.yaml $(STUDY_SEEDS)
	$(MERGE_STUDY)/amm_ablation.yaml $(STUDY_SEEDS)
	$(STUDY)/video.yaml $(STUDY_JOBS)
	$(PY) -m recipes.tiny.evidence
endif

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
