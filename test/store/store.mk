# make -f test/store/store.mk TARGET, or from the Makefile by -include.
## The store
BUILD ?= build

.PHONY: store-power store-kills store-bench jobs-kills jobs-power jobs-crashes
store-power: ## the store's power is taken away 50 times; RUNS=, SEED=
	ninja -C $(BUILD) test/store/store-torture test/store/store-writer test/store/libpowerloss.so
	$(BUILD)/test/store/store-torture power $(or $(RUNS),50) $(SEED)

store-kills: ## the store's writer is killed 200 times; RUNS=, SEED=
	ninja -C $(BUILD) test/store/store-torture test/store/store-writer
	$(BUILD)/test/store/store-torture kill $(or $(RUNS),200) $(SEED)

store-bench: ## the store beside SQLite alone and a bare fdatasync
	ninja -C $(BUILD) bench/store/store-bench
	$(BUILD)/bench/store/store-bench

jobs-kills: ## berth is killed 200 times under load; RUNS=
	ninja -C $(BUILD) berth
	BERTH_BUILD=$(BUILD) test/store/kills $(or $(RUNS),200)

jobs-power: ## berth's power is taken away 50 times under load; RUNS=
	ninja -C $(BUILD) berth test/store/libpowerloss.so
	BERTH_BUILD=$(BUILD) test/store/kills --power $(or $(RUNS),50)

jobs-crashes: ## berth and its store over a simulated disk that forgets; SEEDS=1000 from FIRST=1
	ninja -C $(BUILD) test/crash/berth-crash
	$(BUILD)/test/crash/berth-crash --first $(or $(FIRST),1) --seeds $(or $(SEEDS),1000)
