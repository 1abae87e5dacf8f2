# The verbs we type. `make help` explains each.
SHELL := /bin/bash
.DEFAULT_GOAL := build
.SUFFIXES:
MAKEFLAGS += --no-print-directory

PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)
PORT ?= 3001
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
ARGS ?=

# Read when a recipe's own make starts, so that what `deps` has just installed counts.
tests_possible := $(shell pkg-config --exists criterion 2>/dev/null && echo ON || echo OFF)
client_dist := $(wildcard tests/node_modules/socket.io/client-dist/socket.io.min.js)
launcher := $(if $(shell command -v ccache),-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
manuals := $(wildcard man/*.[1-9])
configure = cmake -S . -G Ninja $(launcher)

##@ Build and run
.PHONY: build
build: build/configured-$(tests_possible) client  ## build the programs into bin/ (what `make` alone does)
	@cmake --build build -j $(JOBS)

.PHONY: all
all: build

.PHONY: run
run:  ## build, and start a private Redis, sio-authd and two gateways with the demo page; PORT=3001
	@tools/deps run
	@$(MAKE) build/configured-$(tests_possible) client
	@cmake --build build -j $(JOBS) --target sio-gateway sio-authd sio-bridge sioctl
	@exec tools/run $(PORT) $(ARGS)

.PHONY: deps
deps:  ## install what building and testing need (apt, npm, pip, Maven); says what it does
	@tools/deps all

build/configured-%: Makefile
	@command -v cmake ninja >/dev/null || { echo 'cmake or ninja is missing: run `make deps` first' >&2; exit 1; }
	@$(configure) -B build -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSIO_TESTS=$*
	@rm -f build/configured-*; touch $@

# The browser bundle of socket.io-client, which the gateway serves as Node does.
.PHONY: client
client: $(if $(client_dist),bin/client/socket.io.min.js)
bin/client/socket.io.min.js: $(client_dist)
	@mkdir -p bin/client
	@cp tests/node_modules/socket.io/client-dist/socket.io.*js* tests/node_modules/socket.io/client-dist/socket.io.js* bin/client/
	@touch $@

##@ Test
.PHONY: test
test: deps  ## everything: unit, fuzz replays, Redis, conformance, integration, RFC 6455, hostile inputs, cluster, authd, Kafka, chaos
	@$(MAKE) build
	@tests/all $(ARGS)

.PHONY: unit redis conformance integration rfc6455 hostile cluster authd kafka
unit redis conformance integration rfc6455 hostile cluster authd kafka: build  ## one part of the tests
	@tests/all $@

.PHONY: chaos
chaos: build  ## the whole product, killed and frozen by a seed, judged at both ends; ARGS='--minutes 10 --clients 1000 --rate 500', ARGS=--help
	@node tests/chaos/run.mjs $(ARGS)

.PHONY: asan
asan:  ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(configure) -B build-asan -DSIO_SANITIZE=address -DSIO_BIN_DIR=$(CURDIR)/build-asan/bin
	@cmake --build build-asan -j $(JOBS)
	@$(MAKE) client && mkdir -p build-asan/bin/client && cp -u bin/client/* build-asan/bin/client/
	@SIO_BIN=$(CURDIR)/build-asan/bin SIO_MEMORY_MIB=64 SIO_LONGEST_WAIT_MS=400 \
	    ASAN_OPTIONS=detect_leaks=1:abort_on_error=1:quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1 tests/all $(ARGS)

.PHONY: tsan
tsan:  ## the integration tests under ThreadSanitizer
	@$(configure) -B build-tsan -DSIO_SANITIZE=thread -DSIO_BIN_DIR=$(CURDIR)/build-tsan/bin
	@cmake --build build-tsan -j $(JOBS)
	@$(MAKE) client && mkdir -p build-tsan/bin/client && cp -u bin/client/* build-tsan/bin/client/
	@SIO_BIN=$(CURDIR)/build-tsan/bin TSAN_OPTIONS=halt_on_error=1 tests/all integration

.PHONY: fuzz
fuzz:  ## libFuzzer on each parser for FUZZ_SECONDS=60; ARGS='TARGET…' for some
	@$(configure) -B build-fuzz -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_CXX_FLAGS=-fsanitize=fuzzer-no-link \
	    -DSIO_FUZZ=ON -DSIO_SANITIZE=address -DSIO_BIN_DIR=$(CURDIR)/build-fuzz/bin
	@cmake --build build-fuzz -j $(JOBS) --target $(basename $(notdir $(wildcard tests/fuzz/fuzz_*.cpp)))
	@tools/fuzz $(FUZZ_SECONDS) $(ARGS)

.PHONY: bench
bench: build  ## our gateway, Node's server and a bare epoll loop in turns; ARGS=--json, ARGS=--quick
	@tests/bench/run $(ARGS)
	@tests/bench/cluster $(filter --quick --json --rounds=%,$(ARGS))
	@bin/bench-tokens $(filter --quick --json,$(ARGS))
	@tests/bench/authd $(filter --quick --json,$(ARGS))
	@bin/bench-topics $(filter --quick --json,$(ARGS))
	@tests/bench/bridge $(filter --quick --json,$(ARGS))

##@ Care
.PHONY: lint
lint: build/configured-$(tests_possible)  ## clang-format, clang-tidy on changed files (LINT=all: on all), foreign headers, mandoc, shellcheck
	@tools/lint $(LINT)

.PHONY: format
format:  ## let clang-format rewrite our C++ files
	@find src tests -name node_modules -prune -o \( -name '*.cpp' -o -name '*.h' \) -print0 | xargs -0r clang-format -i

.PHONY: man
man:  ## check the manual pages and render them into build/man/
	@mandoc -Tlint -Wwarning $(manuals)
	@mkdir -p build/man
	@for page in $(manuals); do mandoc -Tutf8 $$page | col -bx > build/man/$${page##*/}.txt; done
	@ls build/man/*.txt

.PHONY: clean
clean:  ## remove what was built; keeps what `deps` installed
	rm -rf bin build build-asan build-tsan build-fuzz

##@ Install
# Into the system's folders, or below DESTDIR for a package. A configuration file that is there is left alone.
.PHONY: install
install:  ## install below PREFIX=/usr/local; DESTDIR= for packages
	@test -x bin/sio-gateway -a -x bin/sio-authd -a -x bin/sio-bridge -a -x bin/sioctl || $(MAKE) build
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/sio $(DESTDIR)$(SYSCONFDIR)/sio
	install -m 755 bin/sio-gateway bin/sio-authd bin/sio-bridge bin/sioctl $(DESTDIR)$(PREFIX)/bin
	for page in $(manuals); do \
	    install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit; done
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
	    $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	bin/sioctl completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sioctl
	bin/sioctl completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sioctl
	bin/sioctl completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sioctl.fish
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for unit in deploy/systemd/*.service; do \
	    sed 's|/usr/local/|$(PREFIX)/|g; s|/etc/sio|$(SYSCONFDIR)/sio|g' $$unit \
	        > $(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/} || exit; done
	for conf in deploy/conf/*.conf; do \
	    install -m 644 -D $$conf $(DESTDIR)$(PREFIX)/share/doc/sio/$${conf##*/} || exit; \
	    test -e $(DESTDIR)$(SYSCONFDIR)/sio/$${conf##*/} || \
	        install -m 644 $$conf $(DESTDIR)$(SYSCONFDIR)/sio || exit; done
	install -m 644 README.md CHANGELOG.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/sio
	cp -rT share $(DESTDIR)$(PREFIX)/share/sio
	if [ -d bin/client ]; then cp -rT bin/client $(DESTDIR)$(PREFIX)/share/sio/client; fi
	chmod -R u=rwX,go=rX $(DESTDIR)$(PREFIX)/share/sio

.PHONY: help
help:  ## this text
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z0-9 ]+:.*## / { n = split($$1, names, " "); for (i = 1; i <= n; i++) printf "  make %-12s %s\n", names[i], $$2 }' \
	    $(MAKEFILE_LIST)
