# `make demo` and `make test` set up everything they need in .venv/; `make env` does that and nothing else.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || echo 2)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALL := $(BIN)/python tools/install.py
DOCS := $(VENV)/.docs
CHROMIUM = $(firstword $(shell for name in chromium chromium-browser google-chrome google-chrome-stable; do command -v $$name; done))
# `make test-slurm SLURM_TESTS="slurm and not slow"`: without those that take long for what they find
SLURM_TESTS ?= slurm
SLURM_PACKAGES := slurmctld slurmd slurm-client munge slurmdbd mariadb-server
# for tests of faults: the package as its users have it, without shape checks
AS_USED := --import-mode=importlib --strict-markers -p no:cacheprovider
# the files of the pure layer; its tests; those of its kernels, without those that are too slow for plain Python
PURE_FILES = import sys; sys.path.insert(0, "tests/repository"); import test_architecture as t; print(*(path for name, path in t.modules().items() if t.is_pure(name)), sep=sys.argv[1])
PURE_TESTS := tests/merge tests/partitions tests/stability tests/config tests/explorer/test_group_tokens.py tests/benchmarks/test_ground_truth.py
KERNEL_TESTS := $(foreach each,kernels batches engine laws merging,tests/merge/test_$(each).py) tests/partitions \
    tests/stability/test_agreement.py tests/stability/test_coclustering.py
# those, the groups and the contract: without files that take long for what they find, and without that one test
FAST_TESTS := $(filter-out %_laws.py %_killed.py %_oracle.py %_checkpoint.py %_members.py %_memory.py %_sweeps.py %_compiling.py %_provenance.py,$(wildcard \
    $(foreach each,merge partitions stability config groups core,tests/$(each)/test_*.py) \
    $(foreach each,architecture documentation environment,tests/repository/test_$(each).py) \
    $(foreach each,batches histories mapping zip_files,tests/files/test_$(each).py) $(filter %.py,$(PURE_TESTS))))
NOT_FAST := limit_of_values
SLOW_UNCOMPILED := drawn_by_the_law or follow_the_law or favours_early_pairs or long_merges or drawn_evenly_both
WORKFLOW := Snakefile $(wildcard rules/*.smk)

define NEXT

next:
  source $(BIN)/activate
  spdclust groups results/resid_mlp1/demo               # the groups, with the evidence for each
  spdclust groups results/resid_mlp1/demo --explain 0   # how one of them came together
  make demo-lm                                          # the same for a small language model
  Your own model: README.md, "Your own model"
endef
export NEXT

.PHONY: help env hooks slurm browser demo demo-lm docs-images test tests test-fast test-slow test-slurm test-browser test-faults coverage mutants bench docs docs-serve docs-publish notebook dist release-check lint style types format clean

help:
	@echo "make demo       run the workflow on the checkpoint in resources/ and say what was found"
	@echo "make demo-lm    the same for a small language model, on text made from this Python's docstrings"
	@echo "make test       lint, type check, tests"
	@echo "make test-fast  the pure layer and the contract, in about a minute on two quiet cores"
	@echo "make test-slow  the tests that take minutes"
	@echo "make test-slurm the workflow through a real Slurm that it starts on this machine (root, Debian)"
	@echo "make test-browser  the page of an ensemble in headless Chromium, without network (installs it: root, Debian)"
	@echo "make test-faults  kills, full disks, too little memory: every stage, then the same command gives the same files"
	@echo "make coverage   which lines of the pure layer the tests run, kernels as plain Python among them"
	@echo "make mutants    small changes of the pure and the data layer: which of them no test notices"
	@echo "make bench      timings of the merge engine and the distances, against a peer in the same run"
	@echo "make docs       the documentation site, in build/site/          make docs-serve  the same while you write"
	@echo "make notebook   Jupyter on the notebooks in docs/notebooks/"
	@echo "make dist       source distribution and wheel, and the demonstration from the wheel in a fresh environment"
	@echo "make lint       ruff, mypy, snakefmt, snakemake --lint        make format   ruff, snakefmt"
	@echo "make hooks      ruff, mypy and snakefmt before each commit, from .venv/"
	@echo "make docs-images  the pictures of results in docs/images/ (those of the language model too, after make demo-lm)"
	@echo "make env        set up .venv/ and do nothing else             make clean    remove what make made"

env: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV)/, usually two to five minutes in all"
	@$(INSTALL) "" lm,dev
	@touch $@

demo: env
	@echo "snakemake --cores $(CORES)   (half a minute)"
	@$(BIN)/snakemake --cores $(CORES)
	@echo "$$NEXT"

demo-lm: env
	@echo "snakemake --cores $(CORES) --config pipelines=[config/pipelines/demo_lm.yaml]   (about a minute)"
	@$(BIN)/snakemake --cores $(CORES) --config pipelines='[config/pipelines/demo_lm.yaml]'
	@printf '\nnext:\n  source $(BIN)/activate\n  spdclust examples results/lm_llama2L/demo_lm   # the groups, by the tokens that activate them\n'

# the type check, of one process, beside the tests: without it one core would wait
test: style
	@$(MAKE) --no-print-directory -j 2 types tests

# compiled files are kept, also where Python is told to keep none: half of the time before the first test
tests test-fast test-slow coverage: export PYTHONDONTWRITEBYTECODE :=

tests: env
	$(BIN)/pytest -n $(CORES) --dist loadfile --no-loadscope-reorder -m "not slow and not slurm and not browser and not faults"

test-fast: env
	$(BIN)/pytest -q -n $(CORES) --dist loadfile -k "not ($(NOT_FAST))" -m "not slow" $(FAST_TESTS) $$($(BIN)/python -c '$(PURE_FILES)' " ")

test-slow: env
	$(BIN)/pytest -n $(CORES) --dist loadfile -m "slow and not slurm"

hooks: env
	$(BIN)/pre-commit install

slurm: env
	@test "$$(id -u)" = 0 && command -v apt-get > /dev/null || { echo "no Slurm here: starting one for the tests needs root on Debian or Ubuntu"; exit 1; }
	@dpkg -s $(SLURM_PACKAGES) > /dev/null 2>&1 || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SLURM_PACKAGES); } > /dev/null || { echo "no Slurm here: apt-get could not install $(SLURM_PACKAGES)"; exit 1; }
	@$(INSTALL) slurm generic

test-slurm: slurm
	$(BIN)/pytest -n 6 --dist load -m "$(SLURM_TESTS)" tests/slurm

browser: env
	@test -n "$(CHROMIUM)" || { test "$$(id -u)" = 0 && command -v apt-get > /dev/null; } || { echo "no Chromium here: installing it for the tests needs root on Debian"; exit 1; }
	@test -n "$(CHROMIUM)" || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } > /dev/null || { echo "no Chromium here: apt-get could not install chromium"; exit 1; }

test-browser: browser
	$(BIN)/pytest -n 2 --dist loadgroup -m browser tests/browser

test-faults: env
	$(BIN)/pytest -n $(CORES) --dist loadfile -o addopts='$(AS_USED)' -m faults tests/faults

docs/images/rulegraph.svg: $(WORKFLOW) | env
	@command -v dot > /dev/null || { echo "drawing the rule graph needs graphviz: apt-get install graphviz"; exit 1; }
	$(BIN)/snakemake --forceall --rulegraph dot --config pipelines='[config/pipelines/demo.yaml]' | sed 's/_runs_[0-9]*_to_[0-9]*//' | dot -Tsvg -o $@

docs-images: demo browser
	$(BIN)/snakemake --cores $(CORES) --config pipelines='[config/pipelines/sweep.yaml]' -- results/resid_mlp1/sweep/sweep.json
	$(BIN)/python docs/make_images.py

coverage: env
	COVERAGE_FILE=.coverage.compiled $(BIN)/pytest -q -n $(CORES) --dist loadfile --cov=spdclust --cov-report= -m "not slow" $(PURE_TESTS) $$($(BIN)/python -c '$(PURE_FILES)' " ")
	COVERAGE_FILE=.coverage.plain NUMBA_DISABLE_JIT=1 $(BIN)/pytest -q -n $(CORES) --cov=spdclust --cov-report= -m "not slow" -k "not ($(SLOW_UNCOMPILED))" $(KERNEL_TESTS)
	$(BIN)/coverage combine -q .coverage.compiled .coverage.plain
	$(BIN)/coverage report -m --include="$$($(BIN)/python -c '$(PURE_FILES)' ,)"

mutants: env
	$(BIN)/python benchmarks/mutants.py --number 240 --jobs $(CORES)

bench: env
	$(BIN)/python benchmarks/merge.py --growth --brute
	$(BIN)/python benchmarks/distances.py
	$(BIN)/python benchmarks/batches.py
	$(BIN)/python benchmarks/tracking.py

$(DOCS): $(INSTALLED)
	@$(INSTALL) docs
	@touch $@

docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

docs-serve: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

docs-publish: $(DOCS)
	@test -n "$(VERSION)" || { echo "make docs-publish VERSION=0.2.0 ALIAS=latest"; exit 1; }
	NO_MKDOCS_2_WARNING=1 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mike deploy --push --update-aliases $(VERSION) $(ALIAS)
	$(BIN)/mike set-default --push $$($(BIN)/mike list latest > /dev/null 2>&1 && echo latest || echo $(VERSION))

notebook: env
	@$(INSTALL) notebook
	$(BIN)/jupyter lab docs/notebooks

dist: env
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	PYTHON=$(BIN)/python CORES=$(CORES) .ci/try_wheel

release-check:
	@found=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/spdclust/core/version.py); test "$$found" = "$(VERSION)" \
	    || { echo "the tag is $(VERSION), src/spdclust/core/version.py has $$found"; exit 1; }
	@grep -q "^## $(VERSION) ([0-9-]*)" CHANGELOG.md || { echo "CHANGELOG.md has no '## $(VERSION) (date)'"; exit 1; }

lint: style types
types: env
	$(BIN)/mypy
style: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema -q --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema -q --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/snakefmt --check $(WORKFLOW)
	$(BIN)/snakemake --lint

format: env
	$(BIN)/python -m spdclust.config.generate
	$(BIN)/python -m spdclust.plotting.captions
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt $(WORKFLOW)

clean:
	rm -rf $(VENV) .snakemake .mypy_cache .ruff_cache .pytest_cache .hypothesis results build dist src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
