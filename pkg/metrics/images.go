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

package metrics

import "k8s.io/component-base/metrics"

// Images are the metrics of policies' reads of images in registries. It implements the Recorder of
// package capabilities/oci/images with Kubernetes' metrics library.
type Images struct{ looks *metrics.CounterVec }

// NewImages returns metrics that are not registered yet.
func NewImages() *Images {
	return &Images{looks: counters("image_looks_total",
		"Number of reads of images in registries by policies, by operation (v1/verify, v2/verify, v1/manifest_digest, v1/oci_manifest or v1/oci_manifest_config) and result: cached, asked (the registry was asked), stale (the registry did not respond), denied (the registry is not listed, or the policy has too many reads in progress) or failed.",
		"operation", "result")}
}

// MustRegister registers the metrics. register is the MustRegister method of a registry, such as
// that of k8s.io/component-base/metrics/legacyregistry.
func (i *Images) MustRegister(register func(...metrics.Registerable)) { register(i.looks) }

// CountLook implements the capability's Recorder.
func (i *Images) CountLook(operation, result string) {
	i.looks.WithLabelValues(operation, result).Inc()
}
