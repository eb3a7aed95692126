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
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apiserver/pkg/admission"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/jsonpatch"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// provenance is the audit annotation that says which policies a request was evaluated by,
// in which version, and what came of it.
type provenance struct{ evaluations []*evaluation }

// record is one evaluation in it.
type record struct {
	// Index is the policy's position among all that are evaluated in this phase.
	Index    int                      `json:"index"`
	Policy   string                   `json:"policy"`
	Module   string                   `json:"module"`
	Settings string                   `json:"settings"`
	Mode     wasmadmission.PolicyMode `json:"mode"`
	// Verdict is allowed, denied or failed, whatever the mode and the failure policy
	// made of it.
	Verdict string `json:"verdict"`
	// Cause is why it failed.
	Cause engine.Cause `json:"cause,omitempty"`
	// Message is what the policy said of a denial, or what a failure was, cut.
	Message string `json:"message,omitempty"`
	// Mutated is whether the policy changed the object.
	Mutated bool  `json:"mutated,omitempty"`
	Fuel    int64 `json:"fuel"`
	// Omits is what of the object the policy was not given.
	Omits []wasmadmission.OmittedField `json:"omits,omitempty"`
}

func (p *provenance) add(e *evaluation) { p.evaluations = append(p.evaluations, e) }

// publish annotates the audit event, if there is one.
func (p *provenance) publish(ctx context.Context, attr admission.Attributes, name string) {
	if len(p.evaluations) == 0 || !audited(ctx, auditinternal.LevelMetadata) {
		return
	}
	value, omitted, err := p.encode(maxAnnotationBytes, maxRecordedMessageBytes)
	if err == nil && omitted > 0 {
		// Who was asked is worth more than what they said.
		value, _, err = p.encode(maxAnnotationBytes, 0)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Composing an audit annotation failed",
			"key", provenanceAnnotation+name)
		return
	}
	annotate(ctx, attr, provenanceAnnotation+name, value)
}

// maxRecordedMessageBytes is how much of a message is recorded.
const maxRecordedMessageBytes = 512

// encode lists as many evaluations as fit, with so much of their messages, and says how
// many it left out.
func (p *provenance) encode(limit, message int) (text string, omitted int, err error) {
	var list struct {
		Policies []json.RawMessage `json:"policies"`
		Omitted  int               `json:"omitted,omitempty"`
	}
	size := len(`{"policies":[],"omitted":1000000}`)
	for n, e := range p.evaluations {
		r := recordOf(e)
		r.Message = cut(r.Message, message)
		entry, err := json.Marshal(r)
		if err != nil {
			return "", 0, err
		}
		if size += len(entry) + 1; size > limit {
			list.Omitted = len(p.evaluations) - n
			break
		}
		list.Policies = append(list.Policies, entry)
	}
	value, err := json.Marshal(list)
	return string(value), list.Omitted, err
}

func recordOf(e *evaluation) record {
	r := record{
		Index:    e.index,
		Policy:   e.policy().Name(),
		Module:   e.policy().Digest(),
		Settings: e.hook.settingsHash,
		Mode:     e.mode,
		Mutated:  e.mutation.changed,
		Fuel:     e.usage.Fuel,
		Omits:    e.policy().Omits(),
	}
	switch e.judgement.Outcome {
	case verdict.Accepted:
		r.Verdict = "allowed"
	case verdict.Denied:
		r.Verdict = "denied"
	default:
		r.Verdict, r.Cause, r.Message = "failed", engine.CauseOf(e.err), verdict.Explain(e.err)
	}
	if denial := cmp.Or(e.refusal, e.unheeded); denial != nil {
		r.Message = denial.cause.Message
	}
	return r
}

// maxPatchBytes bounds the patch of one mutation in the audit event.
const maxPatchBytes = 256 << 10

// addMutation puts what a policy changed into the audit event, at the levels at which
// webhooks' patches go there: those at which the request itself does.
func (p *report) addMutation(ctx context.Context, e *evaluation) {
	if !e.mutation.applied || !audited(ctx, auditinternal.LevelRequest) {
		return
	}
	annotation := struct {
		Policy    string                `json:"policy"`
		Patch     []jsonpatch.Operation `json:"patch,omitempty"`
		PatchType string                `json:"patchType,omitempty"`
		Omitted   string                `json:"omitted,omitempty"`
	}{Policy: e.policy().Name(), PatchType: "JSONPatch"}
	var err error
	if annotation.Patch, err = e.mutation.patch(); err != nil {
		annotation.Omitted, annotation.PatchType = err.Error(), ""
	}
	key := fmt.Sprintf("%sround_%d_index_%d", patchAnnotation, p.request.round(), e.index)
	value, err := json.Marshal(annotation)
	if err == nil {
		err = p.request.attr.AddAnnotationWithLevel(key, string(value), auditinternal.LevelRequest)
	}
	if err != nil {
		// Not the error's text, which may have the patch.
		klog.FromContext(ctx).Info("Adding a mutation to the audit event failed", "key", key,
			"policy", e.policy().Name())
	}
}

// patch returns what the policy changed.
func (m *mutation) patch() ([]jsonpatch.Operation, error) {
	before, err := jsonpatch.Decode(m.before)
	if err != nil {
		return nil, err
	}
	after, err := jsonpatch.Decode(m.after)
	if err != nil {
		return nil, err
	}
	return jsonpatch.Diff(before, after, maxPatchBytes)
}

// audited is whether the request's audit event is of a level or above.
func audited(ctx context.Context, level auditinternal.Level) bool {
	event := audit.AuditContextFrom(ctx)
	return event != nil && event.Enabled() && event.GetEventLevel().GreaterOrEqual(level)
}
