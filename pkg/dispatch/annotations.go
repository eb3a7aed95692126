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

// The keys of audit annotations. Where a key ends with "/", the phase and the round follow.
const (
	// exemptAnnotation says why a request was not evaluated.
	exemptAnnotation = "wasm.admission.k8s.io/exempt"
	// failedOpenAnnotation lists the policies that failed and were ignored.
	failedOpenAnnotation = "failed-open.wasm.admission.k8s.io/"
	// overriddenAnnotation lists the policies that were not in their configured mode, and the mode
	// that they were in.
	overriddenAnnotation = "mode-override.wasm.admission.k8s.io/"
	// provenanceAnnotation lists all evaluations.
	provenanceAnnotation = "wasm.admission.k8s.io/"
	// patchAnnotation holds the change that a policy made.
	patchAnnotation = "patch.wasm.admission.k8s.io/"
)

// maxAnnotationBytes bounds the value of an annotation whose size depends on the number of
// policies.
const maxAnnotationBytes = 16 << 10

// Bounds of a guest's annotations for one request.
const (
	maxGuestAnnotations     = 16
	maxGuestAnnotationBytes = 4 << 10
)

// annotateForGuest adds a guest's annotations to the audit event. Their names contain the policy's
// name, like those of webhooks. It returns how many annotations it dropped because their key is not
// a valid name, they are too long, or they are too many.
func annotateForGuest(ctx context.Context, attr admission.Attributes, policy string,
	annotations map[string]string) (dropped int) {
	if len(annotations) == 0 {
		return 0
	}
	added := 0
	prefix := AnnotationDomain(policy) + "/"
	annotations, dropped = abi.KeepAnnotations(annotations)
	// The order is fixed, so that all replicas drop the same annotations.
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		value := annotations[key]
		if added == maxGuestAnnotations || len(value) > maxGuestAnnotationBytes {
			dropped++
			continue
		}
		// AddAnnotation checks that the key is a qualified name that does not have another value
		// yet. It may have one if a policy is evaluated again.
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

// AnnotationDomain returns the part before the slash in the keys of audit annotations of a policy's
// guest. It is a DNS subdomain. No policy name makes it the domain of another part of the
// apiserver.
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
