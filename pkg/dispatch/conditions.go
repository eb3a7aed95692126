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
	"sync"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"
	admissionmetrics "k8s.io/apiserver/pkg/admission/metrics"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/generic"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"
)

// matcherKind is the kind under which Kubernetes' metrics of match conditions count policies.
const matcherKind = "webhook"

// conditions are a policy's match conditions. They are compiled and evaluated like those of
// webhooks, with two differences. They know the namespace, like those of a
// ValidatingAdmissionPolicy. And an error in one of them is always an error of the policy, so that
// its failure policy applies in the same way as to other errors.
type conditions struct {
	list []admissionregistrationv1.MatchCondition
	// needNamespace is set if any condition uses the namespace.
	needNamespace bool
	compiled      func() plugincel.ConditionEvaluator
	// policy and phase are labels of metrics.
	policy, phase string
}

// conditionCompiler is created on first use, because that takes time.
var conditionCompiler = sync.OnceValue(func() plugincel.ConditionCompiler {
	return plugincel.NewConditionCompiler(
		environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
})

func newConditions(policy, phase string,
	list []admissionregistrationv1.MatchCondition) *conditions {
	c := &conditions{list: list, policy: policy, phase: phase}
	for _, condition := range list {
		// The name may only be in a string or a comment. That costs a cache lookup, no more.
		c.needNamespace = c.needNamespace ||
			strings.Contains(condition.Expression, plugincel.NamespaceVarName)
	}
	c.compiled = sync.OnceValue(func() plugincel.ConditionEvaluator {
		expressions := make([]plugincel.ExpressionAccessor, len(list))
		for n, condition := range list {
			expressions[n] = (*matchconditions.MatchCondition)(&condition)
		}
		return conditionCompiler().CompileCondition(expressions,
			plugincel.OptionalVariableDeclarations{HasAuthorizer: true},
			environment.StoredExpressions)
	})
	return c
}

// withNamespace passes the namespace to conditions. The webhook machinery does not.
type withNamespace struct {
	plugincel.ConditionEvaluator
	namespace *corev1.Namespace
}

// ForInput implements [plugincel.ConditionEvaluator].
func (c withNamespace) ForInput(ctx context.Context, versioned *admission.VersionedAttributes,
	request *admissionv1.AdmissionRequest, inputs plugincel.OptionalVariableBindings,
	_ *corev1.Namespace, budget int64) ([]plugincel.EvaluationResult, int64, error) {
	return c.ConditionEvaluator.ForInput(ctx, versioned, request, inputs,
		plugincel.CreateNamespaceObject(c.namespace), budget)
}

// fulfilled reports whether a request that a policy may evaluate meets its conditions. If one
// condition is false, the result is false, even if others return errors.
func (m *matcher) fulfilled(ctx context.Context, r *request, c *conditions,
	call *generic.WebhookInvocation) (bool, error) {
	if len(c.list) == 0 {
		return true, nil
	}
	versioned, err := r.VersionedAttribute(call.Kind)
	if err != nil {
		return false, fmt.Errorf("converting the object to %s: %w", call.Kind, err)
	}
	evaluator := withNamespace{ConditionEvaluator: c.compiled()}
	if c.needNamespace {
		if evaluator.namespace, err = m.namespaceOf(ctx, r.attr); err != nil {
			return false, err
		}
	}
	fail := admissionregistrationv1.Fail
	result := matchconditions.NewMatcher(evaluator, &fail, matcherKind, c.phase, c.policy).
		Match(ctx, versioned, nil, m.authorizer)
	if result.Error != nil {
		return false, &conditionError{result.Error}
	}
	if !result.Matches {
		admissionmetrics.Metrics.ObserveMatchConditionExclusion(ctx, c.policy, matcherKind, c.phase,
			string(r.attr.GetOperation()))
	}
	return result.Matches, nil
}

// namespaceOf returns the namespace of a request, or nil if it has none. A Namespace is not in a
// namespace, although its requests carry its name.
func (m *matcher) namespaceOf(ctx context.Context,
	attr admission.Attributes) (*corev1.Namespace, error) {
	if attr.GetNamespace() == "" ||
		attr.GetKind() == corev1.SchemeGroupVersion.WithKind("Namespace") {
		return nil, nil
	}
	namespace, err := m.namespaces.GetNamespace(ctx, attr.GetNamespace())
	if err != nil {
		return nil, fmt.Errorf("looking up the namespace for namespaceObject: %w", err)
	}
	return namespace, nil
}

// conditionError is an error in the evaluation of match conditions.
type conditionError struct{ err error }

// Error implements the error interface.
func (e *conditionError) Error() string {
	return "evaluating the match conditions: " + e.err.Error()
}

// Unwrap returns the wrapped error.
func (e *conditionError) Unwrap() error { return e.err }
