GO     ?= go
TOOLS  := $(GO) tool -modfile=internal/tools/go.mod
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.DEFAULT_GOAL := help
.PHONY: help build demo test test-program test-commands test-packages conformance lint mutants fuzz bench clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

build: ## build bin/siglake, static
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/siglake ./cmd/siglake

demo: build ## run the main job on the embedded simulator: no key, no money
	@bin/siglake demo --lake demo-lake

test: ## all tests, most with the race detector, real S3 stores and the DuckDB cross-check
	@$(GO) test -count=1 -run '^TestStart$$' ./internal/bucket/buckettest # builds the stores, minutes once
	@$(MAKE) --no-print-directory -j3 -O test-program test-commands test-packages # all at once, each printed when it is done
	@cd internal/crosscheck && $(GO) tool -modfile=../tools/go.mod gotestsum --format pkgname-and-test-fails -- -count=1 ./...

GOTESTSUM := gotestsum --format pkgname-and-test-fails -- -timeout 25m
RACE      := $(GOTESTSUM) -race
# The tests that kill processes, or run hundreds of commands, would take four times
# as long under the race detector; what they run is under it in the others.
LONG      := ^Test(Crash|Kill|Edit|Faults|FileFailures|Budget|Register|Session|Lost|OldLakes|Dialects|Raised|ProductSwitches|Plan$$)

test-program:
	@$(TOOLS) $(GOTESTSUM) -run '$(LONG)' ./cmd/siglake

test-commands:
	@$(TOOLS) $(RACE) -skip '$(LONG)' ./cmd/siglake

test-packages:
	@$(TOOLS) $(RACE) $$($(GO) list ./... | grep -v /cmd/siglake)

conformance: ## the client against a mock made from a description of the API; needs Node
	@cd internal/conformance && $(GO) tool -modfile=../tools/go.mod gotestsum --format pkgname-and-test-fails -- -count=1 ./...

lint: ## vet and lint
	@$(GO) vet ./...
	@$(TOOLS) golangci-lint run ./...

mutants: ## make one mistake about money at a time and expect the tests to notice
	@$(GO) run ./internal/mutants $(MUTANTS)

fuzz: ## every fuzz target for 60 s each
	@grep -rho --include='*_test.go' 'func Fuzz[A-Za-z]*' . | sort -u | cut -c6- | while read -r target; do \
		dir=$$(grep -rl --include='*_test.go' "func $$target(" . | xargs dirname); \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime 60s "$$dir" || exit 1; \
	done

bench: ## benchmarks
	@$(GO) test -run '^$$' -bench . -benchmem ./...

clean: ## remove what the other targets made
	@rm -rf bin demo-lake demo-lake-accounts.csv
