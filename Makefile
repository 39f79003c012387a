# The verbs of Dialtone. A fresh machine needs Go, a C compiler and Node.js; what the tests need beyond that is installed
# by `make test` (Debian packages, see tools/peers).
#
#   make run      build everything and run a furnished throw-away server on loopback
#   make build    bin/dialtone
#   make test     all tests: vet, formatting, go test -race, real peers; what .ci/run calls
#   make interop  the tests against real peers alone; LONG=1 for the long ones, RUN=regexp for some of them
#   make check    formatting, vet, and golangci-lint where it is installed
#   make bench    benchmarks of the paths that count, as a table beside the run before; BENCH=regexp, COUNT=n
#   make fuzz     every fuzz target for FUZZTIME (10s); FUZZ=regexp for some of them
#   make peers    install what the tests need

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

GO       ?= go
COUNT    ?= 5
BENCH    ?= .
FUZZ     ?= .
FUZZTIME ?= 10s
RUN      ?= .
LONG     ?=

comma := ,

# A tag gives the binary its version; without one it says the version that stands in the source.
VERSION := $(shell git describe --tags --dirty 2>/dev/null)
LDFLAGS := -s -w $(if $(VERSION),-X dialtone/internal/server.Version=$(VERSION))

# Opus is encoded by libopus, linked statically; the binary stays one file that needs no libraries. Names and users are
# looked up by Go's own code all the same, as in a build without cgo.
OPUS   := $(shell tools/opus)
TAGS   := $(if $(OPUS),opus$(comma)netgo$(comma)osusergo)
STATIC := $(if $(filter static,$(OPUS)),-linkmode external -extldflags -static)

# The benchmarks whose cost is the cost of the product: parse, transaction, authenticate, register, relay, call.
MEASURED := ./internal/sip ./internal/sip/transaction ./internal/sip/transport ./internal/sdp ./internal/rtp \
	./internal/digest ./internal/auth ./internal/guard ./internal/registrar ./internal/proxy ./internal/location ./internal/directory \
	./internal/dialplan ./internal/media ./internal/codec/... ./internal/call ./internal/trace ./internal/store/sqlite ./internal/store/bindinglog ./internal/server

.PHONY: run build test check vet format unit interop bench fuzz peers clean

run: build
	bin/dialtone demo

build:
	@echo "opus: $(if $(OPUS),encoded and decoded by libopus,no libopus-dev or no C compiler here; passed through and decoded, not encoded)"
	CGO_ENABLED=$(if $(OPUS),1,0) $(GO) build -trimpath -tags '$(TAGS)' -ldflags '$(LDFLAGS) $(STATIC)' -o bin/dialtone ./cmd/dialtone

# Formatting and vet come first: they fail in seconds.
test: peers
	@$(MAKE) --no-print-directory format vet unit interop

format:
	@bad=$$(git ls-files -z '*.go' | xargs -0 gofmt -l); \
	if [ -n "$$bad" ]; then echo "not formatted:"; echo "$$bad"; exit 1; fi; echo "gofmt: all files are formatted"

# What the tag leaves out is looked at and tested besides.
PLAIN := $(if $(OPUS),./internal/codec/opus ./internal/codec/catalog)

vet:
	$(GO) vet -tags '$(TAGS)' ./...
	$(if $(PLAIN),$(GO) vet $(PLAIN))
	@echo "go vet: no findings"

check: format vet
	@if command -v golangci-lint >/dev/null; then golangci-lint run ./...; \
	else echo "golangci-lint is not installed; left out"; fi

# The race detector needs the C compiler.
unit:
	CGO_ENABLED=1 $(GO) run ./tools/gotest -race -shuffle=on -timeout 20m -tags '$(TAGS)' $$($(GO) list ./... | grep -v '/interop$$')
	$(if $(PLAIN),$(GO) run ./tools/gotest -shuffle=on $(PLAIN))

# Real peers share one machine and one loopback: their tests run one after another.
interop: build
	DIALTONE_BIN=$(CURDIR)/bin/dialtone DIALTONE_LONG=$(LONG) \
		$(GO) run ./tools/gotest -count=1 -v -timeout 40m -tags '$(TAGS)' -run '$(RUN)' ./interop

bench:
	@mkdir -p bin; [ ! -f bin/bench.txt ] || mv bin/bench.txt bin/bench.before.txt
	$(GO) test -run '^$$' -tags '$(TAGS)' -bench '$(BENCH)' -benchmem -count $(COUNT) $(MEASURED) > bin/bench.txt || { cat bin/bench.txt; exit 1; }
	@$(GO) run ./tools/benchtable bin/bench.before.txt bin/bench.txt
	@cd bench/sipgo && $(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) > ../../bin/bench.sipgo.txt
	@echo; echo "Parsers side by side:"; $(GO) run ./tools/benchtable bin/bench.sipgo.txt

fuzz:
	@tools/fuzz '$(FUZZ)' '$(FUZZTIME)' '$(TAGS)'

peers:
	@tools/peers

clean:
	rm -rf bin
