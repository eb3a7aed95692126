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

// provenance is the audit annotation that lists the policies that evaluated a request, their
// versions, and their verdicts.
type provenance struct{ evaluations []*evaluation }

// record is one evaluation in the annotation.
type record struct {
	// Index is the policy's position among all policies of the phase.
	Index    int                      `json:"index"`
	Policy   string                   `json:"policy"`
	Module   string                   `json:"module"`
	Settings string                   `json:"settings"`
	Mode     wasmadmission.PolicyMode `json:"mode"`
	// Verdict is allowed, denied or failed, regardless of the mode and the failure policy.
	Verdict string `json:"verdict"`
	// Cause is the cause of a failure.
	Cause engine.Cause `json:"cause,omitempty"`
	// Message is the policy's message of a denial, or the text of a failure. It may be cut.
	Message string `json:"message,omitempty"`
	// Mutated is set if the policy changed the object.
	Mutated bool  `json:"mutated,omitempty"`
	Fuel    int64 `json:"fuel"`
	// Omits lists the fields of the object that the policy did not get.
	Omits []wasmadmission.OmittedField `json:"omits,omitempty"`
}

func (p *provenance) add(e *evaluation) { p.evaluations = append(p.evaluations, e) }

// publish adds the annotation to the audit event, if there is one.
func (p *provenance) publish(ctx context.Context, attr admission.Attributes, name string) {
	if len(p.evaluations) == 0 || !audited(ctx, auditinternal.LevelMetadata) {
		return
	}
	value, omitted, err := p.encode(maxAnnotationBytes, maxRecordedMessageBytes)
	if err == nil && omitted > 0 {
		// The list of policies is worth more than their messages.
		value, _, err = p.encode(maxAnnotationBytes, 0)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Composing an audit annotation failed",
			"key", provenanceAnnotation+name)
		return
	}
	annotate(ctx, attr, provenanceAnnotation+name, value)
}

// maxRecordedMessageBytes bounds each recorded message.
const maxRecordedMessageBytes = 512

// encode lists as many evaluations as fit, with messages of at most the given length. It returns
// how many evaluations it left out.
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

// addMutation adds a policy's change to the audit event at the levels at which webhooks add
// patches: those that include the request's object.
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
		// The error is not logged: its text may contain the patch.
		klog.FromContext(ctx).Info("Adding a mutation to the audit event failed", "key", key,
			"policy", e.policy().Name())
	}
}

// patch returns the policy's change.
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

// audited reports whether the request's audit event has at least this level.
func audited(ctx context.Context, level auditinternal.Level) bool {
	event := audit.AuditContextFrom(ctx)
	return event != nil && event.Enabled() && event.GetEventLevel().GreaterOrEqual(level)
}
