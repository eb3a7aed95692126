# Copyright The WasmAdmission Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

# Run `make` or `make help` to list the targets. You need Go, git, make, and a C compiler for
# the race detector.

GO      ?= go
KUBECTL ?= $(shell command -v kubectl || echo $(CURDIR)/bin/kubectl)

# The Kubernetes version. It must match k8s.io/kubernetes in cmd/kube-apiserver/go.mod.
KUBE_MAJOR   := 1
KUBE_MINOR   := 37
KUBE_VERSION := v$(KUBE_MAJOR).$(KUBE_MINOR).2

# The version information in the binaries. It comes only from the commit and its tags, so that
# two builds of the same commit are identical.
GIT_VERSION    ?= $(shell git describe --tags --always 2>/dev/null || echo unknown)
GIT_COMMIT     ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
GIT_TREE_STATE ?= $(shell test -z "$$(git status --porcelain 2>&1)" && echo clean || echo dirty)
BUILD_DATE     ?= $(shell TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 1970-01-01T00:00:00Z)

build_flags = -X github.com/wasm-admission/wasm-admission/internal/buildinfo.gitVersion=$(GIT_VERSION) \
	-X github.com/wasm-admission/wasm-admission/internal/buildinfo.gitCommit=$(GIT_COMMIT)-$(GIT_TREE_STATE)

# kubectl and the server read the same information from different packages.
version_flags = $(foreach package,k8s.io/component-base/version k8s.io/client-go/pkg/version,\
	-X $(package).gitVersion=$(1) -X $(package).gitMajor=$(KUBE_MAJOR) -X $(package).gitMinor=$(KUBE_MINOR) \
	-X $(package).gitCommit=$(GIT_COMMIT) -X $(package).gitTreeState=$(GIT_TREE_STATE) -X $(package).buildDate=$(BUILD_DATE))

# The server's module is built, tested, and linted with the same settings: static, and without
# file paths. Different settings would compile all of Kubernetes a second time.
SERVER      := cd cmd/kube-apiserver && CGO_ENABLED=0 GOFLAGS="$$($(GO) env GOFLAGS) -trimpath"
SERVER_LINK  = -ldflags '-s -w $(build_flags) $(call version_flags,$(KUBE_VERSION)+wasm-admission)'
TOOL        := $(GO) tool -modfile=$(CURDIR)/hack/tools/go.mod

# All targets that `make help` shows are phony.
.PHONY: $(shell sed -n 's/^## \([a-z0-9-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

## help: list the targets
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## build: build bin/kube-apiserver (about five minutes the first time)
build:
	@$(SERVER) GO="$(GO)" $(CURDIR)/hack/build.sh $(SERVER_LINK) -o $(CURDIR)/bin/kube-apiserver .

## kubectl: build bin/kubectl, unless kubectl is installed
kubectl:
	@if command -v "$(KUBECTL)" >/dev/null && [ "$(KUBECTL)" != "$(CURDIR)/bin/kubectl" ]; then \
		echo "using $(KUBECTL)"; \
	else \
		set -x; $(SERVER) $(GO) build -ldflags '-s -w $(call version_flags,$(KUBE_VERSION))' -o $(CURDIR)/bin/kubectl k8s.io/kubernetes/cmd/kubectl; \
	fi

## wasmctl: build bin/wasmctl, the command-line tool
wasmctl:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w $(build_flags)' -o $(CURDIR)/bin/wasmctl ./cmd/wasmctl

## webhook: build bin/wasm-admission-webhook, which serves policies to apiservers without the plugin
webhook:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w $(build_flags)' -o $(CURDIR)/bin/wasm-admission-webhook ./cmd/wasm-admission-webhook

## policies: build the Go policies under test/policies into bin/policies
policies:
	$(MAKE) -C test/policies go-guests

## checklist-guests: build the guests of the checklist in test/conformance into bin/checklist
checklist-guests:
	$(MAKE) -C test/policies checklist

# Release artifacts for these platforms. Building the same commit twice makes identical files.
IMAGE_REGISTRY ?= ghcr.io/wasm-admission
PLATFORMS      := linux/amd64 linux/arm64
PROGRAMS       := kube-apiserver wasmctl wasm-admission-webhook
comma          := ,
space          := $(subst ,, )
DIST           := $(CURDIR)/dist
SYFT_VERSION   := v1.57.1
# A version from git may contain a plus sign, which image tags do not allow.
IMAGE_TAG       = $(subst +,-,$(GIT_VERSION))

## programs: build bin/release/OS-ARCH/PROGRAM for amd64 and arm64 (about ten minutes the first time)
programs:
	@set -e; for platform in $(PLATFORMS); do \
		directory=$(CURDIR)/bin/release/$$(echo $$platform | tr / -); \
		export GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0; \
		echo "== programs for $$platform"; \
		$(GO) build -trimpath -ldflags '-s -w $(build_flags)' -o $$directory/ ./cmd/wasmctl ./cmd/wasm-admission-webhook; \
		( $(SERVER) GO="$(GO)" $(CURDIR)/hack/build.sh $(SERVER_LINK) -o $$directory/kube-apiserver . ); \
	done

# syft reads from the binaries which modules they contain.
.PHONY: sboms
sboms: programs
	@$(GO) version -m .cache/syft/syft 2>/dev/null | grep -q "syft.$(SYFT_VERSION)" || \
		{ echo "== building syft $(SYFT_VERSION): a few minutes"; GOBIN=$(CURDIR)/.cache/syft $(GO) install -trimpath github.com/anchore/syft/cmd/syft@$(SYFT_VERSION); }
	@set -e; for platform in $(subst /,-,$(PLATFORMS)); do for program in $(PROGRAMS); do \
		echo "== SBOM of $$program for $$platform"; \
		cd $(CURDIR)/bin/release/$$platform; \
		SYFT_CHECK_FOR_APP_UPDATE=false $(CURDIR)/.cache/syft/syft scan -q file:$$program \
			--source-name $$program --source-version $(GIT_VERSION) -o spdx-json=$$program.json; \
	done; done

## release: make dist with images, archives, SBOMs, manifests and checksums for amd64 and arm64
release: image

## image: make dist with an OCI layout per program (amd64, arm64, SBOMs) and archives for docker load
image: sboms
	rm -rf $(DIST)
	$(GO) -C hack/release run . -programs $(CURDIR)/bin/release -sboms $(CURDIR)/bin/release -output $(DIST) \
		-registry $(IMAGE_REGISTRY) -version $(GIT_VERSION) -date $(BUILD_DATE) \
		-documents $(CURDIR)/LICENSE,$(CURDIR)/README.md,$(CURDIR)/CHANGELOG.md \
		-manifests $(CURDIR)/deploy -platforms $(subst $(space),$(comma),$(PLATFORMS)) \
		kube-apiserver:$(KUBE_VERSION)-wasm-admission-$(IMAGE_TAG) wasmctl:$(IMAGE_TAG) wasm-admission-webhook:$(IMAGE_TAG)

## kubeadm-manifest: check deploy/kubeadm with kubeadm, and regenerate its static Pod (two minutes the first time)
kubeadm-manifest:
	GO="$(GO)" KUBE_VERSION=$(KUBE_VERSION) hack/update-kubeadm.sh

## registry: build bin/registry, which serves modules in tests
registry:
	cd test/registry/server && $(GO) build -o $(CURDIR)/bin/registry .

## serve-registry: run a registry on loopback until Ctrl-C, to try out pushing; it discards everything when it stops
serve-registry: registry
	@directory=$$(mktemp -d); trap 'rm -rf "$$directory"' EXIT INT TERM; \
		tail -f /dev/null | bin/registry -root "$$directory" | sed -u 's/^/export REGISTRY=/'

## etcd: build bin/etcd, which tests stop and restart under a server
etcd:
	$(SERVER) $(GO) build -o $(CURDIR)/bin/etcd ./etcd

## generate: regenerate code, manifests and parts of the documentation
generate:
	hack/update-codegen.sh

GENERATED := '*zz_generated*' cmd/wasmctl/internal/scaffolding/policy/sdk docs/metrics.md docs/wasmctl.md docs/compatibility.md docs/images/request.svg docs/images/policy.svg deploy/webhook/manifests.yaml

## verify-generate: fail if a generated file is not up to date
verify-generate:
	hack/update-codegen.sh
	git diff --exit-code -- $(GENERATED)
	@test -z "$$(git status --porcelain -- $(GENERATED))"

## lint: run golangci-lint on every module
lint:
	$(TOOL) golangci-lint run ./...
	$(SERVER) $(TOOL) golangci-lint run ./...
	cd sdk/go && $(TOOL) golangci-lint run ./...
	cd test/policies && $(TOOL) golangci-lint run ./...
	cd test/bench/wasmtime && $(TOOL) golangci-lint run ./...
	cd test/registry/server && $(TOOL) golangci-lint run ./...
	cd test/sigstore/trillian && $(TOOL) golangci-lint run ./...
	cd test/opacases && $(TOOL) golangci-lint run ./...
	cd test/chart && $(TOOL) golangci-lint run ./...
	cd hack/release && $(TOOL) golangci-lint run ./...

## test: run all tests (about 12 minutes on two cores, about 36 the first time)
test:
	@echo "== unit tests and policy tests: about 8 minutes on two idle cores"
	@$(MAKE) test-unit
	@echo "== end-to-end tests against the real server: about 4 minutes"
	@$(MAKE) test-e2e
	@echo "== all tests passed"

## bats: run Bats tests in the style of Kubewarden's policies, with wasmctl as kwctl
bats: bats-tool
	$(GO) test -count=1 -v -run TestBats ./cmd/wasmctl

# Uses an installed bats, or fetches it with npm. Without either, the tests are skipped.
BATS_VERSION := 1.13.0
.PHONY: bats-tool
bats-tool:
	@command -v bats >/dev/null || test -x .cache/bats/node_modules/bats/bin/bats || \
		{ command -v npm >/dev/null && npm install --silent --no-fund --no-audit --no-save --prefix .cache/bats bats@$(BATS_VERSION); } || \
		echo "bats is missing and cannot be fetched: skipping its tests (apt-get install bats)" >&2

## test-docs: run the commands in docs/authors and docs/admins that need no cluster (minutes)
test-docs: build wasmctl kubectl cosign registry
	$(GO) test -count=1 -v -timeout=60m ./test/docs -docs

# These packages are tested without the race detector, which slows them down many times. They
# use one goroutine, or compile modules with packages that are themselves tested under the
# detector.
SEQUENTIAL := ./test/spec ./test/grants ./test/conformance ./pkg/engine/internal/rewrite ./cmd/wasmctl/internal/cli
# These packages are tested with and without the race detector. They bound memory, and the
# memory that the detector itself uses would break the bounds.
MEMORY := ./pkg/engine ./pkg/engine/internal/worker ./pkg/abi/rego/topdown

## test-unit: run the tests that need no server, including the policies' tests
test-unit: policies checklist-guests registry bats-tool prometheus
	$(GO) test -race -skip '^TestCallsTakeLittleMemory$$' $$($(GO) list ./... | grep -v -e /test/e2e $(SEQUENTIAL:.%=-e %$$))
	$(GO) test $(SEQUENTIAL) $(MEMORY)
	$(GO) test -run XXX -fuzz FuzzGenerated -fuzztime 10s ./pkg/engine/internal/rewrite
	$(SERVER) $(GO) test ./...
	CGO_ENABLED=0 $(GO) build -o bin/test/wasmctl ./cmd/wasmctl
	cd sdk/go && WASMCTL=$(CURDIR)/bin/test/wasmctl $(GO) test ./...
	cd test/opacases && $(GO) test ./...
	cd test/chart && $(GO) test ./...
	cd hack/release && $(GO) test ./...
	$(GO) run ./cmd/wasmctl test test/policies
	$(MAKE) -C test/policies test

## test-e2e: run the tests against bin/kube-apiserver and bin/wasm-admission-webhook
test-e2e: build etcd webhook kubectl policies registry
	KUBECTL="$(KUBECTL)" $(GO) test -count=1 -timeout=30m ./test/e2e/...

# Signature verification is compared with cosign, the tool that most people sign with.
COSIGN_VERSION := v3.1.3

## cosign: build .cache/cosign/cosign, which tests sign with (a few minutes the first time)
cosign:
	@$(GO) version -m .cache/cosign/cosign 2>/dev/null | grep -q "cosign/v3.$(COSIGN_VERSION)" || \
		GOBIN=$(CURDIR)/.cache/cosign $(GO) install -trimpath github.com/sigstore/cosign/v3/cmd/cosign@$(COSIGN_VERSION)

## cosign-parity: compare our verdicts on cosign's signatures with cosign's own (about two minutes)
cosign-parity: cosign registry
	$(GO) test -count=1 -v -run Cosign ./pkg/sigstore
	$(GO) test -count=1 -v -timeout=20m -run TestParity ./test/sigstore/parity -parity

# The components of a private Sigstore. Each is built on its own, so that its dependencies do
# not mix with ours. Later versions of both Rekors and of the timestamp authority require Go
# 1.27.
FULCIO_VERSION              := v1.8.8
TESSERACT_VERSION           := v0.1.1
REKOR_TILES_VERSION         := v2.3.0
OLDER_REKOR_VERSION         := v1.5.4
TIMESTAMP_AUTHORITY_VERSION := v2.1.3

# $(call sigstore_part,NAME,PACKAGE,VERSION) builds .cache/sigstore/NAME.
sigstore_part = @$(GO) version -m .cache/sigstore/$(1) 2>/dev/null | grep -q "mod.*[[:space:]]$(3)[[:space:]]" || { \
	GOBIN=$(CURDIR)/.cache/sigstore/$(1).new $(GO) install -trimpath $(2)@$(3) && \
	mv .cache/sigstore/$(1).new/* .cache/sigstore/$(1) && rmdir .cache/sigstore/$(1).new; }

.PHONY: sigstore-parts
sigstore-parts:
	$(call sigstore_part,fulcio,github.com/sigstore/fulcio,$(FULCIO_VERSION))
	$(call sigstore_part,tesseract,github.com/transparency-dev/tesseract/cmd/tesseract/posix,$(TESSERACT_VERSION))
	$(call sigstore_part,rekor-server,github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix,$(REKOR_TILES_VERSION))
	$(call sigstore_part,older-rekor-server,github.com/sigstore/rekor/cmd/rekor-server,$(OLDER_REKOR_VERSION))
	cd test/sigstore/trillian && $(GO) build -trimpath -o $(CURDIR)/.cache/sigstore/trillian .
	$(call sigstore_part,timestamp-server,github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server,$(TIMESTAMP_AUTHORITY_VERSION))

## sigstore: run a private Sigstore from the real components on loopback until Ctrl-C (a few minutes the first time)
sigstore: cosign sigstore-parts
	@$(GO) build -o bin/sigstore ./test/sigstore/instance/serve
	@exec bin/sigstore

## e2e-sigstore: sign with a private Sigstore, tamper with signatures, and check the verdicts of bin/kube-apiserver and cosign (about five minutes)
e2e-sigstore: build cosign sigstore-parts registry
	$(GO) test -count=1 -v -timeout=20m -run TestSigstore ./test/sigstore/e2e -sigstore
	$(MAKE) cosign-parity

## cosign-sample: use cosign to sign the sample that `make test` verifies
cosign-sample: cosign registry
	$(GO) test -count=1 -run TestWriteSample ./test/sigstore/parity -write-sample

# Unpacks Debian's package, which needs no root and installs nothing. Without apt-get and
# without a prometheus on PATH, the tests that need it are skipped with a message.
## prometheus: unpack Debian's prometheus and promtool into .cache/prometheus
prometheus:
	@if [ -x .cache/prometheus/usr/bin/promtool ] || command -v promtool >/dev/null; then exit 0; fi; \
	mkdir -p .cache/prometheus && cd .cache/prometheus && \
	{ command -v dpkg >/dev/null && apt-get download -qq prometheus 2>/dev/null && dpkg -x prometheus_*.deb . && rm prometheus_*.deb; } || \
		echo "prometheus is missing and cannot be fetched: skipping its tests (apt-get install prometheus)" >&2

## check-dashboard: scrape bin/kube-apiserver under load with Prometheus, and run every query in deploy/monitoring (about three minutes)
check-dashboard: build policies registry prometheus
	$(GO) test -count=1 -timeout=20m -v -run TestLive ./test/monitoring -live

## dashboard-images: like check-dashboard, and also draw the panels for docs/monitoring.md
dashboard-images: build policies registry prometheus
	$(GO) test -count=1 -timeout=20m -v -run TestLive ./test/monitoring -live -draw

## run: run the server with sample policies until Ctrl-C (POLICIES=DIRECTORY uses your own; also AUDIT_LOG=FILE, BREAK_GLASS=FILE)
run: kubectl
	@KUBECTL="$(KUBECTL)" MAKE="$(MAKE)" POLICIES="$(POLICIES)" AUDIT_LOG="$(AUDIT_LOG)" BREAK_GLASS="$(BREAK_GLASS)" hack/run.sh

## chaos: send violating writes to the server while injecting faults (minutes; disk and clock faults need root)
chaos: build etcd policies registry
	$(GO) test -count=1 -timeout=60m -v ./test/chaos -chaos

## chaos-ha: like chaos, with three servers and three etcd members in network namespaces: partitions, rolling changes, skewed clocks (about twelve minutes; root)
chaos-ha: build etcd-member clock-server policies nft
	$(GO) test -count=1 -timeout=30m -v -run TestHighAvailability ./test/chaos/ha -chaos-ha

# Only chaos-ha uses these: a kube-apiserver whose clock can be skewed, and an etcd that can
# join a cluster. The server is compiled whole against a modified package time, which takes a
# few minutes the first time.
.PHONY: clock-server etcd-member nft
clock-server:
	@$(GO) run ./test/chaos/ha/clock "$$($(GO) env GOROOT)" .cache/clock
	@export GOFLAGS="$$($(GO) env GOFLAGS) -overlay=$(CURDIR)/.cache/clock/overlay.json"; \
		$(SERVER) GO="$(GO)" $(CURDIR)/hack/build.sh $(SERVER_LINK) -o $(CURDIR)/bin/kube-apiserver-clock .

etcd-member:
	$(SERVER) $(GO) build -o $(CURDIR)/bin/etcd-member go.etcd.io/etcd/server/v3

# Unpacks Debian's packages, in the same way as for prometheus.
nft:
	@if [ -x .cache/nft/usr/sbin/nft ] || command -v nft >/dev/null; then exit 0; fi; \
	mkdir -p .cache/nft && cd .cache/nft && \
	{ command -v dpkg >/dev/null && apt-get download -qq nftables libnftables1 libnftnl11 libmnl0 libjansson4 libxtables12 libedit2 libbsd0 libmd0 2>/dev/null && \
		for package in *.deb; do dpkg -x $$package . && rm $$package; done; } || \
		echo "nft is missing and cannot be fetched: apt-get install nftables" >&2

# Everything in a cluster except the server under test. This takes long the first time: parts.sh
# compiles Kubernetes, containerd, etcd, and CoreDNS, one package at a time.
KIND      := test/kind/bootstrap
KIND_DIST := $(CURDIR)/.cache/kind/dist

.PHONY: kind-parts
kind-parts:
	$(KIND)/debian.sh
	GO="$(GO)" KUBE_VERSION=$(KUBE_VERSION) KUBE_LDFLAGS="$(foreach package,k8s.io/component-base/version k8s.io/client-go/pkg/version,\
		-X $(package).gitVersion=$(KUBE_VERSION) -X $(package).gitMajor=$(KUBE_MAJOR) -X $(package).gitMinor=$(KUBE_MINOR))" $(KIND)/parts.sh

## e2e-kind: run the kube-apiserver image in kind clusters with one node and with three control planes (root, Debian; an hour the first time, then about 20 minutes)
e2e-kind: kind-parts registry
	$(MAKE) image PLATFORMS=linux/$$($(GO) env GOARCH) DIST=$(KIND_DIST)
	$(GO) test -c -o bin/kind.test ./test/kind
	cd test/kind && GO="$(GO)" KUBE_VERSION=$(KUBE_VERSION) KIND_DIST=$(KIND_DIST) KIND_COMMIT=$(GIT_COMMIT) $(CURDIR)/bin/kind.test -kind -test.v -test.timeout=0 -test.run '^TestKind$$'

## clean: remove build output
clean:
	rm -rf bin dist
	$(MAKE) -C test/policies clean

## bench-dispatch: measure a request that matches no policy, and one that is evaluated in process and by a webhook
bench-dispatch:
	$(GO) run ./test/bench/dispatch

## traces: trace a request to bin/kube-apiserver through an OpenTelemetry collector, and draw docs/images/trace.svg
traces: build .cache/otel/collector/collector
	$(GO) run ./test/e2e/traces/command -collector .cache/otel/collector/collector

# The OpenTelemetry builder builds the collector from the components that collector.yaml lists.
OTEL_VERSION := v0.165.0
.cache/otel/collector/collector: test/e2e/traces/collector.yaml
	GOBIN=$(CURDIR)/.cache/otel $(GO) install -trimpath go.opentelemetry.io/collector/cmd/builder@$(OTEL_VERSION)
	CGO_ENABLED=0 .cache/otel/builder --config $<

## bench-verify: measure what signature verification adds to a start with a warm store, and to an evaluation, from memory and from a registry on loopback
bench-verify: registry cosign sigstore-parts
	$(GO) test -count=1 -v -run '^TestWarmStart$$' ./test/sigstore/e2e -sigstore | grep '^figure '
	$(GO) test -count=1 -run '^$$' -bench '^BenchmarkVerify$$' ./pkg/capabilities/oci/images | grep '^figure '

## mutation-parity: compare the objects that a mutating policy produces in process and behind a webhook
mutation-parity: build webhook policies
	$(GO) run ./test/webhookparity/command

## bench-admission: measure Pod creates on bin/kube-apiserver with policies in process, CEL policies and webhooks; POLICY_SERVER=PATH adds Kubewarden's policy-server, BASELINE=REVISION another build (PLOT=FILE draws the added latency)
bench-admission: build
	BASELINE="$$(GO="$(GO)" hack/baseline.sh $(BASELINE))" POLICY_SERVER="$(POLICY_SERVER)" $(GO) run ./test/bench/admission $(if $(PLOT),-plot="$(PLOT)")

## bench-parts: measure what one policy, or POLICIES=N, adds to a Pod create on bin/kube-apiserver, step by step; BASELINE=REVISION also measures another build
bench-parts: build
	BASELINE="$$(GO="$(GO)" hack/baseline.sh $(BASELINE))" $(GO) run ./test/bench/parts $(if $(POLICIES),-policies=$(POLICIES))

## bench-context: measure Pod creates on bin/kube-apiserver while policies list 3,000 namespaces and 10,000 pods
bench-context: build
	$(GO) run ./test/bench/context

## bench-webhook: measure bin/wasm-admission-webhook; POLICY_SERVER=PATH also measures Kubewarden's policy-server
bench-webhook: build webhook
	POLICY_SERVER="$(POLICY_SERVER)" $(GO) run ./test/bench/webhookserver

## spec: run the WebAssembly specification's assertions on rewritten modules
spec:
	$(GO) test -count=1 -run TestSpec -v ./test/spec

## bench-engine: compare an evaluation with plain wazero and with wasmtime
bench-engine: policies
	$(GO) run ./test/bench/engine
	$(GO) -C test/bench/wasmtime build -o $(CURDIR)/bin/bench-wasmtime .
	bin/bench-wasmtime

## bench-sdk: compare size, load time and evaluation time of the Go policies in the directories BEFORE and AFTER (default bin/policies)
bench-sdk:
	$(GO) run ./test/bench/sdk "$(BEFORE)" "$(or $(AFTER),bin/policies)"

## bench-fuel: compare the fuel that sample policies use with the instructions that they execute
bench-fuel: policies
	$(GO) run ./test/bench/fuel

## bench-load: measure loading 100 modules: compiled in child processes, compiled in process, and from disk
bench-load:
	$(GO) run ./test/bench/load

## bench-scale: measure how 1,000 policies from 10 and from 300 modules affect start time, memory, requests and reloads of one policy
bench-scale:
	$(GO) run ./test/bench/scale

## bench-linking: measure what linking signature verification adds to a process
bench-linking:
	CGO_ENABLED=0 $(GO) run ./test/bench/linking

## bench-modes: measure the same rule in every execution mode
bench-modes:
	$(MAKE) -C test/policies modes
	$(GO) run ./test/bench/modes

## hostile: measure how soon attacks are stopped, and how long they delay the garbage collector
hostile:
	$(GO) run ./test/bench/hostile

## hostile-webhook: send reviews to every hostile module on bin/wasm-admission-webhook (about five minutes)
hostile-webhook: build webhook
	$(GO) test -count=1 -v -timeout=30m -run TestBehindAWebhook ./test/hostile -shell webhook

## attack: attack everything that accepts input, stay within the limits, and print the worst cost (minutes)
attack:
	$(GO) run ./test/attack

## opa-cases: run all of the Open Policy Agent's test cases on our implementation of its ABI (minutes; `make test` runs a sample)
opa-cases:
	cd test/opacases && $(GO) run . -cases "$$($(GO) list -m -f '{{.Dir}}' github.com/open-policy-agent/opa)/v1/test/cases/testdata"

## conformance: run the checklist of Kubewarden's tests, and write the results to docs/compatibility.md
conformance: build kubectl policies checklist-guests registry bats-tool
	KUBECTL="$(KUBECTL)" $(GO) test -count=1 -v -timeout=60m ./test/conformance -conformance

## conformance-webhook: run the checklist's server items on bin/wasm-admission-webhook
conformance-webhook: build webhook policies checklist-guests registry
	$(GO) test -count=1 -v -timeout=60m -run TestConformance ./test/conformance -server -shell webhook

ARM64_MINUTES ?= 2

## test-arm64: run the engine's tests and the server for arm64 under qemu-aarch64, and compare compiled with interpreted code for ARM64_MINUTES (2)
test-arm64: policies registry
	$(MAKE) programs PLATFORMS=linux/arm64
	KUBE_APISERVER=$(CURDIR)/bin/release/linux-arm64/kube-apiserver $(GO) test -count=1 -v -run TestServer ./test/arm64 -server
	$(GO) build -o $(CURDIR)/bin/test-arm64 ./test/arm64
	@bin/test-arm64 -minutes $(ARM64_MINUTES)

FUZZTIME ?= 1h

## upstream: copy the library and the plugin into a Kubernetes tree, build its kube-apiserver, and check that it denies a Pod (twenty minutes the first time)
upstream: etcd
	GO="$(GO)" KUBE_VERSION=$(KUBE_VERSION) CHECK=1 hack/upstream.sh

## test-next: vet and test the library and the plugin against the next Kubernetes release (KUBE_NEXT and GO_NEXT set the versions)
test-next:
	GO="$(GO)" hack/test-next.sh

## fuzz: run two fuzz tests of the rewriter for FUZZTIME each (1h)
fuzz:
	$(GO) test -run XXX -fuzz FuzzRewrite -fuzztime $(FUZZTIME) -fuzzminimizetime 5x ./pkg/engine/internal/rewrite
	$(GO) test -run XXX -fuzz FuzzGenerated -fuzztime $(FUZZTIME) -fuzzminimizetime 5x ./pkg/engine/internal/rewrite

## soak-reload: send 100,000 requests to the server while its policies change, and check every response
soak-reload: build
	$(GO) run ./test/soak
