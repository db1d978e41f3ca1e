# Two commands for a fresh machine: `make plan` and `make test`. CMake does the work; `cmake --list-presets` has more.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help packages build test plan install deb accuracy bench format clean

export PATH := $(CURDIR)/build/tools/bin:$(PATH)
cores := $(shell nproc 2>/dev/null || echo 2)
foretrain := build/release/cli/foretrain
job := examples/llama3_70b_256_h100/job.json
sources = $(shell git ls-files --cached --others --exclude-standard '*.h' '*.cc' '*.cu' '*.cuh')

help:  ## This list
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

packages:
	@scripts/install_packages.sh

configure := cmake --preset release --log-level=WARNING > /dev/null
compile := cmake --build --preset release --parallel $(cores)

build: packages  ## Install missing packages, build the program: build/release/cli/foretrain
	@echo "build: $(foretrain)"
	@$(configure) && $(compile) --target foretrain

plan: build  ## The ten best plans for Llama-3.1-70B on 256 H100; writes plan.json, report.html and timeline.json
	@echo "plan: $(foretrain) plan $(job) -o plan.json --report report.html --trace timeline.json"
	@$(foretrain) plan $(job) -o plan.json --report report.html --trace timeline.json
	@echo "plan: wrote plan.json (all plans), report.html (open in a browser) and timeline.json (best plan; open in https://ui.perfetto.dev)"

test: packages  ## Build everything and run all tests
	@echo "test: building"
	@$(configure) && $(compile)
	@echo "test: running"
	@ctest --preset release --parallel $(cores)

prefix := /usr/local
install: packages  ## Program, library and data into /usr/local, or: make install prefix=/elsewhere
	@$(configure) && $(compile)
	@cmake --install build/release --prefix $(prefix) > /dev/null
	@echo "install: $(prefix)/bin/foretrain"

deb: packages  ## Debian packages of program and library: build/package/packages/*.deb
	@echo "deb: building"
	@cmake --preset package --log-level=WARNING > /dev/null
	@cmake --build --preset package --parallel $(cores)
	@cd build/package && cpack > /dev/null
	@ls build/package/packages/*.deb

accuracy: build  ## Predicted against measured; rewrites docs/ACCURACY.md
	@echo "accuracy: $(foretrain) compare --accuracy docs"
	@$(foretrain) compare --accuracy docs

bench:  ## Speed of the engine, the search and large simulations
	@scripts/install_packages.sh --bench
	@$(configure) && $(compile) --target foretrain_bench
	@build/release/bench/foretrain_bench

format:  ## Lay out every source file with clang-format
	@scripts/install_packages.sh --checks
	@clang-format -i $(sources)

clean:  ## Remove everything that was built
	rm -rf build plan.json report.html timeline.json
