#!/usr/bin/env bash

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

# Regenerates the code of the configuration API (deepcopy, defaults, conversion)
# with the generators that hack/tools/go.mod pins, the references for the metrics
# and for the command line, and the pictures in the documentation.

set -o errexit
set -o nounset
set -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

api="./pkg/apis/wasmadmission"
header="hack/boilerplate/boilerplate.go.txt"
bin="${PWD}/bin/codegen"

mkdir -p "${bin}"
go -C hack/tools build -o "${bin}/" \
  k8s.io/code-generator/cmd/deepcopy-gen \
  k8s.io/code-generator/cmd/defaulter-gen \
  k8s.io/code-generator/cmd/conversion-gen

# Delete old output first. Otherwise the functions of deleted types would remain,
# and code that no longer compiles would mislead the generators.
find "${api}" -name 'zz_generated.*.go' -delete

"${bin}/deepcopy-gen" --go-header-file "${header}" \
  --output-file zz_generated.deepcopy.go "${api}" "${api}/v1alpha1"
"${bin}/defaulter-gen" --go-header-file "${header}" \
  --output-file zz_generated.defaults.go "${api}/v1alpha1"
"${bin}/conversion-gen" --go-header-file "${header}" \
  --output-file zz_generated.conversion.go "${api}/v1alpha1"

# The Go SDK that `wasmctl scaffold policy` writes. Go files and go.mod cannot be embedded under
# their own names.
sdk="cmd/wasmctl/internal/scaffolding/policy/sdk"
rm -rf "${sdk}"
(cd sdk/go && find . \( -name '*.go' -o -name go.mod \) -not -name '*_test.go' -not -path './examples/*') |
  while read -r file; do
    mkdir -p "${sdk}/$(dirname "${file}")"
    cp "sdk/go/${file}" "${sdk}/${file}.txt"
  done

# Write to a temporary file first, so that a failure keeps the old file.
go run ./hack/metricsdoc >"${bin}/metrics.md"
cp "${bin}/metrics.md" docs/metrics.md
go run ./cmd/wasmctl/internal/gendoc >"${bin}/wasmctl.md"
cp "${bin}/wasmctl.md" docs/wasmctl.md
go run ./hack/drawing hack/drawing docs/images
go test -count=1 -run TestDocumentIsCurrent ./test/conformance -update
(cd test/chart && go run . ../../deploy/webhook/chart) >"${bin}/manifests.yaml"
cp "${bin}/manifests.yaml" deploy/webhook/manifests.yaml
