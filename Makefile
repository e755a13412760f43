GO     ?= go
TOOLS  := $(GO) tool -modfile=internal/tools/go.mod
# The version is the tag of this commit; else the minor version after the newest tag, as -dev.
VERSION := $(shell git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null | cut -c2- | grep . || \
	git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null | cut -c2- | awk -F. '{ print $$1 "." $$2+1 ".0-dev" }' | grep . || echo 0.1.0-dev)
COMMIT  := $(shell git rev-parse --short=7 HEAD 2>/dev/null)$(if $(shell git status --porcelain --untracked-files=no 2>/dev/null),-dirty)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help build demo test proof conformance stores engines schedulers browser proxies iceberg test-iceberg temporal test-temporal lint vet-all mutants fuzz bench bench-record bench-peers benchmarks pgo man dist clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

build: ## build bin/siglake, static
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/siglake ./cmd/siglake

demo: build ## run the main job on the embedded simulator: no key, no money
	@bin/siglake demo --lake demo-lake

SUM := gotestsum --format pkgname-and-test-fails -- -ldflags=-w
LIMIT = $(if $(filter full,$(SIGLAKE_PROOF)),24h,30m)

# Packages that start goroutines, in their code or their tests: the race detector watches their tests,
# except for the sequential ones, which the arguments of proof.Main name.
RACE := ./cmd/siglake ./internal/app ./internal/bench ./internal/bench/plain ./internal/bucket ./internal/extsort ./internal/inbox ./internal/lease ./internal/ledger ./internal/lusha ./internal/mutants \
	./internal/notify ./internal/parallel ./internal/policy ./internal/ratelimit ./internal/receiver ./internal/simulator ./internal/wal ./pipeline ./sinks
# These run without it: packages without goroutines, and the sequential tests of others; cmd/siglake
# runs in whole.
WHOLE := ./cmd/siglake ./cmd/siglake/manual ./internal/bench/answers ./internal/ddl ./internal/dictionary ./internal/export ./internal/bucket ./internal/bucket/buckettest ./internal/durable \
	./internal/columns ./internal/flatten ./internal/forecast ./internal/format ./internal/idmap ./internal/jobfile ./internal/jsonscan ./internal/lakereport ./internal/ledger ./internal/lusha \
	./internal/mutants ./internal/nights ./internal/proof ./internal/ratelimit ./internal/report ./internal/simulator ./internal/subscriptions ./internal/wal \
	./pipeline ./schema ./sinks ./sources

test: export GOGC ?= 400
# Tests write durably and wait for the disk: they use memory if there is enough.
test: export TMPDIR ?= $(shell df --output=avail -BG /dev/shm 2>/dev/null | awk '$$1 + 0 >= 8 { print "/dev/shm" }' | grep . || echo /tmp)
test: ## everything that a change can break: race detector, real S3 stores, DuckDB (make lint runs vet)
	@log=$$(mktemp) && trap 'rm -f "$$log"' EXIT && set -o pipefail && \
	{ $(MAKE) --no-print-directory -j3 test-race test-whole test-readers 2>&1 | tee "$$log"; } && \
	awk '/^DONE/ { n += $$2 } END { print "DONE " n " tests in all" }' "$$log"

.PHONY: test-race test-whole test-readers
test-race: export SIGLAKE_PROOF := $(filter full,$(SIGLAKE_PROOF))
test-race:
	@$(TOOLS) $(SUM) -race -vet=off -timeout $(LIMIT) $(if $(filter full,$(SIGLAKE_PROOF)),./...,$(RACE))
test-whole: export SIGLAKE_TESTS := sequential
test-whole: # the tests of cmd/siglake wait for processes and for time
	@$(TOOLS) $(SUM) -vet=off -parallel 10 -timeout $(LIMIT) $(WHOLE)
test-readers:
	@cd internal/crosscheck && $(GO) tool -modfile=../tools/go.mod $(SUM) -timeout $(LIMIT) ./...

proof: export SIGLAKE_PROOF ?= short
proof: test test-iceberg mutants conformance proxies ## make test with long proofs: kill loops, Iceberg, mutants, conformance, proxies; SIGLAKE_PROOF=full for all cases

stores: ## a lake on every store, plain and behind front ends; moto needs python3 and PyPI
	@cd internal/storematrix && $(GO) tool -modfile=../tools/go.mod $(SUM) -count=1 ./...

engines: ## one lake in DuckDB, ClickHouse, Spark, Trino and dbt, and as Iceberg tables; needs python3, Maven, Java 17, TRINO_JAVA_HOME with Java 25
	@cd internal/enginematrix && $(GO) tool -modfile=../tools/go.mod $(SUM) -count=1 -timeout 2h ./...

schedulers: ## the examples in Airflow, and against the types of Kubernetes; needs python3 and PyPI
	@cd internal/schedulermatrix && $(GO) tool -modfile=../tools/go.mod $(SUM) -count=1 ./...

browser: ## siglake report in Chromium, on a desk and a phone, dark and light; needs Chromium
	@cd internal/browsermatrix && $(GO) tool -modfile=../tools/go.mod $(SUM) -count=1 ./...

iceberg: ## build bin/siglake-iceberg, static; a module of its own with several hundred dependencies
	@cd cmd/siglake-iceberg && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o ../../bin/siglake-iceberg .

test-iceberg: # a lake replayed into a catalogue in SQLite
	@cd cmd/siglake-iceberg && $(GO) vet . && $(GO) tool -modfile=../../internal/tools/go.mod $(SUM) -count=1 -timeout $(LIMIT) ./...

temporal: ## build bin/siglake-temporal, static; a module of its own, with gRPC
	@cd cmd/siglake-temporal && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o ../../bin/siglake-temporal .

test-temporal: ## nights on a Temporal server that is started for it; the first time builds the server, which takes minutes
	@cd cmd/siglake-temporal && $(GO) vet . && $(GO) tool -modfile=../../internal/tools/go.mod $(SUM) -count=1 -timeout $(LIMIT) ./...

conformance: ## the client against a mock made from a description of the API; needs Node
	@cd internal/conformance && $(GO) tool -modfile=../tools/go.mod $(SUM) -count=1 ./...

proxies: ## webhooks through nginx and Caddy to siglake listen; needs both
	@cd internal/proxymatrix && $(GO) tool -modfile=../tools/go.mod $(SUM) -count=1 ./...

lint: ## vet and lint
	@$(GO) vet ./... && $(GO) vet -tags man ./cmd/siglake
	@$(TOOLS) golangci-lint run ./...

vet-all: ## check the types, of tests too, on every system that make dist builds for
	@cd internal/tools && $(GO) run ./vetall $(CURDIR) $(PLATFORMS)

mutants: export SIGLAKE_PROOF ?= short
mutants: ## make one mistake about money at a time and expect the tests to notice
	@$(GO) run ./internal/mutants $(MUTANTS)

fuzz: ## every fuzz target for 60 s each
	@grep -rho --include='*_test.go' 'func Fuzz[A-Za-z]*' . | sort -u | cut -c6- | while read -r target; do \
		dir=$$(grep -rl --include='*_test.go' "func $$target(" . | xargs dirname); \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime 60s "$$dir" || exit 1; \
	done

.PHONY: bench-programs
bench-programs: # siglake as make build makes it, and what it is compared with
	@mkdir -p bin/bench
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/bench/ ./cmd/siglake ./internal/bench ./internal/bench/plain
	@$(GO) test -c -o bin/bench/columns.test ./internal/bench
	@$(GO) test -c -o bin/bench/plain.test ./internal/bench/plain
	@$(GO) test -c -o bin/bench/sinks.test ./sinks

bench: bench-programs ## speed and memory, end to end and in parts, as ratios to a plain program; five minutes on an idle machine
	@bin/bench/bench

bench-record: bench-programs ## make bench, and a line in internal/bench/RESULTS.md
	@bin/bench/bench -record internal/bench/RESULTS.md -commit $(COMMIT)

bench-peers: bench-programs ## make bench, with Bento and DuckDB; builds them
	@cd internal/bench/bento && $(GO) build -o ../../../bin/bench/bento .
	@cd internal/bench/duckdb && $(GO) build -o ../../../bin/bench/duckdb .
	@bin/bench/bench -peers

benchmarks: ## all Go benchmarks
	@$(GO) test -run '^$$' -bench . -benchmem ./...

# With a default.pgo every package, also of the tests of cmd/siglake, is compiled for it. There is none in the
# repository: it gained less than 1 % of CPU time when it was last measured.
pgo: bench-programs ## a profile for the compiler, of a run and a rebuild: cmd/siglake/default.pgo, which go build then uses
	@rm -rf bin/bench/profiles && bin/bench/bench -profile bin/bench/profiles
	@$(GO) tool pprof -proto bin/bench/profiles/*.cpu.pprof > bin/bench/default.pgo && mv bin/bench/default.pgo cmd/siglake/

man: ## manual pages for man(1), in man/
	@$(GO) run -tags man -ldflags '-X main.version=$(VERSION)' ./cmd/siglake man
	@echo "$$(ls man | wc -l) pages, to be read as man ./man/siglake-run.1"

# siglake-iceberg takes some 200 s of CPU for each system the first time.
dist: ## static programs for Linux, macOS and Windows, siglake, siglake-iceberg and siglake-temporal, with checksums, in dist/
	@rm -rf dist && mkdir dist
	@for platform in $(PLATFORMS); do \
		os=$${platform%/*} arch=$${platform#*/} end=; [ $$os = windows ] && end=.exe; \
		for program in siglake siglake-iceberg siglake-temporal; do \
			file=$${program}_$(VERSION)_$${os}_$$arch$$end; \
			echo "dist/$$file"; \
			CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -C cmd/$$program -trimpath -ldflags '$(LDFLAGS)' -o '$(CURDIR)'/dist/$$file . || exit 1; \
		done; \
	done
	@cp LICENSE dist/
	@cd dist && sha256sum siglake* LICENSE > SHA256SUMS

clean: ## remove what the other targets made
	@rm -rf bin dist man demo-lake demo-lake-accounts.csv
