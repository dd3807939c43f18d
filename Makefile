# A thin front for Meson. Every target first installs what it needs and this machine lacks (tools/setup).
# V=1 shows the commands in full.

.DEFAULT_GOAL := build/berth
.PHONY: build/berth help run image demo check test test-rest test-all sim fuzz coverage chaos bench lint format clean

ifeq ($(V),)
Q := @
else
export V
endif

## Use
build/berth: ## builds build/berth and build/berth-worker (plain `make`)
	$(Q)tools/setup --for build
	$(Q)tools/build build "berth berth-worker"

run: build/berth ## starts the fleet in the foreground; ARGS="..." goes to `berth up`; Ctrl-C ends it
	$(Q)tools/setup --for run
	$(Q)build/berth up $(ARGS)

image: build/berth ## container images of worker and orchestrator, for docker load: build/worker.tar, build/orchestrator.tar
	$(Q)tools/setup --for run
	$(Q)build/berth image --what worker --output build/worker.tar
	$(Q)build/berth image --what orchestrator --output build/orchestrator.tar

demo: build/berth ## a fleet with slow containers, 100 requests from 5 clients, a summary; ends by itself
	$(Q)tools/setup --for run
	$(Q)tools/demo

## Tests
check: ## a minute: unit tests, include lines, a short simulation
	$(Q)tools/setup --for build
	$(Q)tools/run-tests check

test: ## a quarter of an hour: all tests, ASan and UBSan, integration, 30000 simulated worlds
	$(Q)tools/setup --for test
	$(Q)tools/run-tests test $(if $(MINUTES),--minutes $(MINUTES))

test-rest: ## what `make test` leaves out: lint, clang, TSan, fuzzers, 3 minutes of simulation; MINUTES=... bounds it
	$(Q)tools/setup --for test --for chaos --for lint
	$(Q)tools/run-tests rest $(if $(MINUTES),--minutes $(MINUTES))

test-all: ## `make test` and `make test-rest`: about 50 minutes
	$(Q)tools/setup --for test --for chaos --for lint
	$(Q)tools/run-tests all $(if $(MINUTES),--minutes $(MINUTES))

sim: ## simulations: SEEDS=100 of them from FIRST=1
	$(Q)tools/setup --for build
	$(Q)tools/build build test/sim/berth-sim
	$(Q)build/test/sim/berth-sim --first $(or $(FIRST),1) --seeds $(or $(SEEDS),100)

fuzz: ## every fuzzer for SECONDS=60
	$(Q)tools/setup --for test
	$(Q)tools/fuzz $(or $(SECONDS),60)

coverage: ## which lines of src/http the unit tests and the fuzzers' corpora reach
	$(Q)tools/setup --for test
	$(Q)tools/coverage

chaos: build/berth ## containers that die, workers cut off, slow clients: five minutes, root; ARGS="--seed N" goes to test/chaos/run
	$(Q)tools/setup --for chaos
	$(Q)test/chaos/run $(ARGS)

bench: build/berth ## beside HAProxy and nginx, the worker beside Flask, the expected wait; ARGS="..." goes to bench/run
	$(Q)tools/setup --for bench
	$(Q)bench/run $(ARGS)
	$(Q)bench/worker/run
	$(Q)bench/estimate

## Code
lint: ## clang-format, cppcheck, shellcheck, include lines
	$(Q)tools/setup --for lint
	$(Q)tools/lint

format: ## lays the C files out as .clang-format says
	$(Q)tools/setup --for lint
	$(Q)clang-format -i $(shell find src test bench -name '*.[ch]')

clean: ## removes the build directories
	rm -rf build build-*

help: ## this list
	@awk -F ': .*## ' '/^## / { print substr($$0, 4) ":" } /^[a-z\/-]+: .*## / { printf "  make %-12s %s\n", $$1 == "build/berth" ? "" : $$1, $$2 }' $(MAKEFILE_LIST)

-include test/store/store.mk tools/train/train.mk
