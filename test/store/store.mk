# make -f test/store/store.mk TARGET, or from the Makefile by -include.
BUILD ?= build

.PHONY: store-power-loss store-kills store-bench
store-power-loss: ## the store's power is taken away 50 times; RUNS=, SEED=
	ninja -C $(BUILD) test/store/store-torture test/store/store-writer test/store/libpowerloss.so
	$(BUILD)/test/store/store-torture power $(or $(RUNS),50) $(SEED)

store-kills: ## the store's writer is killed 200 times; RUNS=, SEED=
	ninja -C $(BUILD) test/store/store-torture test/store/store-writer
	$(BUILD)/test/store/store-torture kill $(or $(RUNS),200) $(SEED)

store-bench: ## the store beside SQLite alone and a bare fdatasync
	ninja -C $(BUILD) bench/store/store-bench
	$(BUILD)/bench/store/store-bench
