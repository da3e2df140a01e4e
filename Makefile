# Glassproxy. `make help` lists what there is.
CC ?= gcc
BUILD ?= build
CFLAGS ?= -O2 -g
WARNINGS = -Wall -Wextra -Werror
INCLUDES = -Iproxy
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DNCURSES_WIDECHAR=1 $(INCLUDES) $(WARNINGS) $(CFLAGS)
LIBS = -lpcre2-8 -ljansson -lresolv -lz -lcrypto
PACKAGES = gcc make libc6-dev libpcre2-dev libssl-dev zlib1g-dev libncurses-dev libcmocka-dev libjansson-dev
TEST_PACKAGES = nginx-light curl tmux python3 python3-websockets procps openssl

MAIN = proxy/main.c
SOURCES = $(filter-out $(MAIN),$(shell find proxy -name '*.c'))
OBJECTS = $(SOURCES:%.c=$(BUILD)/%.o)
UNITS = $(shell find tests/unit -name '*_test.c')
UNIT_PROGRAMS = $(UNITS:tests/unit/%.c=$(BUILD)/tests/%)

TUI_SOURCES = $(wildcard tui/*.c tui/*/*.c)

all: $(BUILD)/glassproxy $(BUILD)/glasstui $(UNIT_PROGRAMS)

$(BUILD)/glasstui: $(TUI_SOURCES:%.c=$(BUILD)/%.o)
	$(CC) $(ALL_CFLAGS) -o $@ $^ -ljansson -lncursesw -ltinfo -lcrypto

$(BUILD)/glassproxy: $(BUILD)/proxy/main.o $(BUILD)/libproxy.a
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

$(BUILD)/tui/%.o: INCLUDES = -Itui
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libproxy.a: $(OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/tests/%: tests/unit/%.c $(BUILD)/libproxy.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(BUILD)/libproxy.a $(LIBS) -lcmocka

deps: ## Installs the Debian packages that building and testing need
	@sh tests/install-packages.sh $(PACKAGES) $(TEST_PACKAGES)

test: deps ## Installs what is missing, builds, and runs all tests
	@$(MAKE) --no-print-directory check

check: all ## The tests, with what is installed
	@set -e; for t in $(UNIT_PROGRAMS); do $$t; done
	python3 tests/e2e/run.py $(BUILD)
	python3 tests/differential/run.py $(BUILD)/glassproxy
	python3 tests/differential/random_requests.py $(BUILD)/glassproxy 600
	python3 tests/differential/random_configs.py $(BUILD)/glassproxy 60
	python3 tests/differential/conf_errors.py $(BUILD)/glassproxy 400

lab: deps ## Two backends, the proxy and the interface, live
	@$(MAKE) --no-print-directory $(BUILD)/glassproxy $(BUILD)/glasstui
	@BUILD=$(BUILD) lessons/lab.sh

asan: deps ## Builds with AddressSanitizer and UBSan, and runs all tests
	@$(MAKE) --no-print-directory BUILD=build/asan WARNINGS='-Wall -Wextra' CFLAGS='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' check

FUZZERS = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_SECONDS ?= 60

$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/libproxy.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -MMD -MP -o $@ $< $(BUILD)/libproxy.a $(LIBS)

fuzzers: $(FUZZERS)

fuzz: ## Fuzzes the parsers, FUZZ_SECONDS each, two at a time
	@sh tests/install-packages.sh $(PACKAGES) clang libclang-rt-14-dev
	@$(MAKE) --no-print-directory BUILD=build/fuzzing CC=clang CFLAGS='-g -O1 -fsanitize=fuzzer-no-link,address,undefined' fuzzers
	@sh tests/fuzz/run.sh $(FUZZ_SECONDS) build/fuzzing/fuzz

bench: deps ## Speed against nginx in one run
	@sh tests/install-packages.sh wrk
	@$(MAKE) --no-print-directory $(BUILD)/glassproxy
	@python3 tests/bench.py $(BUILD)

valgrind: all ## The unit tests under valgrind
	@sh tests/install-packages.sh valgrind
	@set -e; for t in $(UNIT_PROGRAMS); do valgrind -q --child-silent-after-fork=yes --error-exitcode=1 --leak-check=full $$t; done

format: ## Formats the code as .clang-format says
	clang-format -i $(shell find proxy tui tests -name '*.[ch]')

tags: ## A tags file for editors
	ctags -R proxy tui

clean: ## Removes what was built
	rm -rf $(BUILD)

.PHONY: all help deps test check lab asan fuzz fuzzers bench valgrind format tags clean
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
