/*
Copyright The WasmAdmission Authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package metrics_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"

	"github.com/wasm-admission/wasm-admission/pkg/metrics"
)

func TestImageMetrics(t *testing.T) {
	registry := kmetrics.NewKubeRegistry()
	i := metrics.NewImages()
	i.MustRegister(registry.MustRegister)
	i.CountLook("v2/verify", "cached")
	i.CountLook("v2/verify", "cached")
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP apiserver_wasm_admission_image_looks_total [ALPHA] Number of reads of images in registries by policies, by operation (v1/verify, v2/verify, v1/manifest_digest, v1/oci_manifest or v1/oci_manifest_config) and result: cached, asked (the registry was asked), stale (the registry did not respond), denied (the registry is not listed, or the policy has too many reads in progress) or failed.
# TYPE apiserver_wasm_admission_image_looks_total counter
apiserver_wasm_admission_image_looks_total{operation="v2/verify",result="cached"} 2
`)))
}
