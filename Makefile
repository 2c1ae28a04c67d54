# AtlHyper. `make demo` shows it, `make test` proves it; both need Go and nothing else.
GO ?= go
BIN := bin/atlhyper
TEST_FLAGS ?= -timeout 55m

RCA_DIR ?=

.PHONY: demo build test check eval lint vuln generate lab-build lab-prometheus packages lab-up lab-down screenshots manifests reference clean

demo: build ## a simulated cluster, an incident and its fix, in this terminal
	$(BIN) demo

build:
	$(GO) build -ldflags "-X main.version=$$(git describe --tags --always --dirty 2>/dev/null || echo dev)" -o $(BIN) .

test: packages lab-build lab-prometheus ## everything, on a real API server
	$(GO) vet ./...
	$(GO) test $(TEST_FLAGS) ./deploy/lab/fulllength ./... # the one that waits most begins first

check: ## what is quick: no lab, no browser
	$(GO) vet ./...
	$(GO) test -short $(TEST_FLAGS) ./...

eval: build ## the engine's judgement and the planner's answers against the committed floors; RCA_DIR is a folder of labelled sets, made-up cases alone without one
	$(BIN) eval all $(RCA_DIR)

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...

vuln: ## known faults in what we build from
	@.ci/vuln

generate: ## the protocol's Go code; needs protoc
	$(GO) build -o bin/ connectrpc.com/connect/cmd/protoc-gen-connect-go google.golang.org/protobuf/cmd/protoc-gen-go
	for p in agent/report/report.proto bot/gateway/chat.proto; do \
		PATH="$$PWD/bin:$$PATH" protoc -I $$(dirname $$p) --go_out=$$(dirname $$p) --go_opt=paths=source_relative \
			--connect-go_out=$$(dirname $$p) --connect-go_opt=paths=source_relative,package_suffix="" $$(basename $$p); done

screenshots: ## of the page, at phone and desk width, and of the terminal, into docs/images; needs Chromium and, for the marks, a font such as fonts-noto-color-emoji
	$(GO) test -count=1 -run Screenshot . -screenshots docs/images

manifests: ## plain YAML from the chart; builds Helm once, which takes minutes
	$(GO) test -count=1 ./deploy/helm -run PlainManifests -update

reference: ## the pages of flags and tools, from the code
	$(GO) test -count=1 -run TestTheReference . -update

lab-build: ## Kubernetes 1.36, etcd, kwok and the collector from the module proxy, ClickHouse's engine from npm: minutes once, seconds later
	$(GO) run ./deploy/lab/labctl build

packages: ## Chromium and Node from Debian, where they are missing
	@deploy/lab/packages.sh

lab-prometheus: ## Debian's Prometheus, unpacked beside its script; skipped where there is none
	deploy/lab/telemetry/prometheus.sh

lab-up: ## a real control plane; prints its KUBECONFIG
	@$(GO) run ./deploy/lab/labctl up

lab-down:
	@$(GO) run ./deploy/lab/labctl down

clean:
	rm -rf bin deploy/lab/kubernetes/bin deploy/lab/telemetry/collector/bin deploy/lab/telemetry/clickhouse/node_modules
