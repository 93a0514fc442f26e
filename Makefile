# Bastide: two commands are enough for a newcomer, `make run` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: help deps build run test san style bench fuzz device-size clean

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

deps:            ## install what is missing from Debian 12 packages and npm
	@tools/deps.sh

build: deps      ## configure and build everything into build/dev
	@cmake --preset dev >build-configure.log 2>&1 || { cat build-configure.log; exit 1; }; rm -f build-configure.log
	@cmake --build --preset dev

run: build       ## bring a node up on this machine and replay real readings (ARGS=--once, SPEED=60)
	@examples/vacancy/run.py $(ARGS)

test: build      ## every test: sanitizers, style, then the suite
	@tools/san.sh
	@tools/style.sh
	@ctest --preset dev

san: deps        ## the pure rooms' tests under ASan and UBSan (clang)
	@tools/san.sh

style: build     ## formatting, room table, banned words, headers alone
	@tools/style.sh

bench: deps      ## compare with peers in the same run; writes build/bench.tsv
	@tools/bench.sh

fuzz: deps       ## run every fuzz target for a bounded number of inputs
	@tools/fuzz.sh

device-size:     ## flash and RAM of the protocol rooms on a Cortex-M4 (needs gcc-arm-none-eabi)
	@tools/device_size.sh

clean:           ## remove everything built
	@rm -rf build
