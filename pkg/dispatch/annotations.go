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

package dispatch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// Keys of audit annotations, and what they begin with: the phase and round follow.
const (
	// exemptAnnotation says why a request was not evaluated.
	exemptAnnotation = "wasm.admission.k8s.io/exempt"
	// failedOpenAnnotation names the policies that failed and were ignored.
	failedOpenAnnotation = "failed-open.wasm.admission.k8s.io/"
	// overriddenAnnotation names the policies that were not in the mode that is
	// configured, and the mode that they were in.
	overriddenAnnotation = "mode-override.wasm.admission.k8s.io/"
	// provenanceAnnotation lists all evaluations.
	provenanceAnnotation = "wasm.admission.k8s.io/"
	// patchAnnotation is what a policy changed.
	patchAnnotation = "patch.wasm.admission.k8s.io/"
)

// maxAnnotationBytes bounds the value of an annotation whose size depends on the number
// of policies.
const maxAnnotationBytes = 16 << 10

// What guests may annotate for one request.
const (
	maxGuestAnnotations     = 16
	maxGuestAnnotationBytes = 4 << 10
)

// annotateForGuest adds a guest's annotations to the audit event, under names that are
// its policy's own, as webhooks' are. It returns how many had to be dropped: those whose
// key makes no name, which are too long, or too many.
func annotateForGuest(ctx context.Context, attr admission.Attributes, policy string,
	annotations map[string]string) (dropped int) {
	if len(annotations) == 0 {
		return 0
	}
	added := 0
	prefix := AnnotationDomain(policy) + "/"
	annotations, dropped = abi.KeepAnnotations(annotations)
	// In an order that is the same each time: all replicas drop the same.
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		value := annotations[key]
		if added == maxGuestAnnotations || len(value) > maxGuestAnnotationBytes {
			dropped++
			continue
		}
		// This checks that the key is a qualified name, and not there yet with
		// another value, as it may be when a policy is evaluated again.
		if err := attr.AddAnnotation(prefix+key, value); err != nil {
			klog.FromContext(ctx).V(4).Info("Dropped an audit annotation of a policy",
				"policy", policy, "err", cut(err.Error(), maxWarningBytes))
			dropped++
			continue
		}
		added++
	}
	return dropped
}

// AnnotationDomain is what the keys of audit annotations of a policy's guest begin with,
// before the slash: no policy, however it is called, annotates in the name of another part
// of the apiserver. It is a DNS subdomain.
func AnnotationDomain(policy string) string {
	const suffix = ".policy.wasm.admission.k8s.io"
	if room := validation.DNS1123SubdomainMaxLength - len(suffix); len(policy) > room {
		sum := sha256.Sum256([]byte(policy))
		policy = hex.EncodeToString(sum[:])
	}
	return policy + suffix
}

func annotate(ctx context.Context, attr admission.Attributes, key, value string) {
	if err := attr.AddAnnotation(key, value); err != nil {
		klog.FromContext(ctx).Error(err, "Adding an audit annotation failed", "key", key)
	}
}
