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
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// report reports the evaluations of a request in one phase to the client, the audit event, the log
// and the metrics.
type report struct {
	recorder Recorder
	request  *request
	warnings warnings
	// failures is set if any evaluation ended without a verdict.
	failures bool
	// ignored are the policies whose failures were ignored. overridden are the policies that were
	// not in their configured mode, with the mode that they were in.
	ignored, overridden []string
	provenance          provenance
}

func (d *Dispatcher) newReport(r *request) *report {
	return &report{recorder: d.recorder, request: r}
}

// add reports an evaluation after judge.
func (p *report) add(ctx context.Context, e *evaluation) {
	e.endTrace()
	policy, operation := e.policy().Name(), string(p.request.attr.GetOperation())
	p.recorder.ObserveEvaluation(policy, string(p.request.phase), operation,
		string(e.judgement.Outcome), e.refusal != nil, e.duration)
	p.recorder.AddFuel(policy, e.usage.Fuel)
	p.provenance.add(e)
	p.addMode(e)
	if e.err != nil {
		p.addFailure(ctx, e)
		return
	}
	if e.unheeded != nil {
		klog.FromContext(ctx).Info("Policy in monitor mode would have denied a request",
			"policy", policy, "moduleDigest", e.policy().Digest(),
			"message", e.unheeded.message, "code", e.unheeded.code, "requestUID", p.request.uid)
	}
	if e.mutation.changed {
		p.recorder.CountMutation(policy, operation)
	}
	if e.mutation.unknown != "" {
		klog.FromContext(ctx).
			Info("Dropped fields that a policy added and the object's kind does not have",
				"policy", policy, "moduleDigest", e.policy().Digest(),
				"fields", e.mutation.unknown, "requestUID", p.request.uid)
		p.warnings.fromHost(
			fmt.Sprintf("WasmAdmission policy %q: fields that it added were dropped: %s",
				policy, e.mutation.unknown))
	}
	p.addMutation(ctx, e)
	p.addOutput(ctx, e)
}

// addFailure reports an evaluation without a verdict.
func (p *report) addFailure(ctx context.Context, e *evaluation) {
	p.failures = true
	klog.FromContext(ctx).Error(e.err, "Policy failed", "policy", e.policy().Name(),
		"moduleDigest", e.policy().Digest(), "failurePolicy", e.policy().Spec().FailurePolicy,
		"mode", e.mode, "cause", engine.CauseOf(e.err), "requestUID", p.request.uid)
	if e.refusal != nil {
		return
	}
	p.ignored = append(p.ignored, e.policy().Name())
	p.warnings.fromHost(fmt.Sprintf("WasmAdmission policy %q failed and was ignored: %s",
		e.policy().Name(), verdict.Explain(e.err)))
}

// addMode reports a mode that is not the configured one.
func (p *report) addMode(e *evaluation) {
	if e.mode == e.configured {
		return
	}
	p.overridden = append(p.overridden, e.policy().Name()+"="+string(e.mode))
	p.warnings.fromHost(
		fmt.Sprintf("WasmAdmission policy %q is in mode %s temporarily, not in mode %s",
			e.policy().Name(), e.mode, e.configured))
}

// addOutput passes on the warnings and annotations of a guest, within their bounds.
func (p *report) addOutput(ctx context.Context, e *evaluation) {
	policy, response := e.policy().Name(), e.judgement.Response
	if dropped := p.warnings.fromGuest(response.Warnings) + response.OmittedWarnings; dropped > 0 {
		p.recorder.CountDroppedOutput(policy, outputWarning, dropped)
	}
	if dropped := annotateForGuest(ctx, p.request.attr, policy, response.AuditAnnotations) +
		response.OmittedAuditAnnotations; dropped > 0 {
		p.recorder.CountDroppedOutput(policy, outputAuditAnnotation, dropped)
	}
}

// publish reports what concerns all evaluations together.
func (p *report) publish(ctx context.Context) {
	attr, name := p.request.attr, p.request.annotationName()
	spans.Tell(ctx, attribute.Int(spans.Policies, len(p.provenance.evaluations)))
	if len(p.ignored) > 0 {
		annotate(ctx, attr, failedOpenAnnotation+name,
			cut(strings.Join(p.ignored, ","), maxAnnotationBytes))
	}
	if len(p.overridden) > 0 {
		annotate(ctx, attr, overriddenAnnotation+name,
			cut(strings.Join(p.overridden, ","), maxAnnotationBytes))
	}
	p.provenance.publish(ctx, attr, name)
	p.warnings.send(ctx)
}
