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

package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/dynamic"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// show sends the request, repeatedly if Eventually is set, and returns an error if an expectation
// is not met.
func (r *Request) show(ctx context.Context, p *place, namespace string) error {
	attempt := func() error { return r.attempt(ctx, p, namespace) }
	if r.Eventually {
		return eventually(ctx, attempt)
	}
	return attempt()
}

func (r *Request) attempt(ctx context.Context, p *place, namespace string) error {
	sent := time.Now()
	object, seen, answer := send(ctx, p.Server, namespace, r)
	if seen == nil {
		return answer
	}
	if err := r.compareVerdict(p, answer); err != nil {
		return err
	}
	if err := seen.compare(r.Warnings); err != nil {
		return err
	}
	if object != nil && answer == nil {
		text, err := object.MarshalJSON()
		if err != nil {
			return err
		}
		if err := compareValues(r.Values, string(text)); err != nil {
			return fmt.Errorf("%w\n%s", err, text)
		}
	}
	return r.compareAudit(ctx, p, namespace, sent)
}

// warnings stores the warnings that a client gets.
type warnings struct{ texts []string }

// HandleWarningHeader implements [rest.WarningHandler].
func (w *warnings) HandleWarningHeader(_ int, _, text string) { w.texts = append(w.texts, text) }

func (w *warnings) compare(parts []string) error {
	if len(w.texts) != len(parts) && parts != nil {
		return fmt.Errorf("the warnings are %q", w.texts)
	}
	for n, part := range parts {
		if !strings.Contains(w.texts[n], part) {
			return fmt.Errorf("the warnings are %q", w.texts)
		}
	}
	return nil
}

// send sends a request and returns the server's error.
func send(ctx context.Context, server *harness.Server, namespace string,
	r *Request) (*unstructured.Unstructured, *warnings, error) {
	config, seen := server.RESTConfig(), &warnings{}
	config.WarningHandler = seen
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	if r.Delete != "" {
		err := client.Resource(corev1.SchemeGroupVersion.WithResource("configmaps")).
			Namespace(namespace).Delete(ctx, r.Delete, metav1.DeleteOptions{})
		return nil, seen, err
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(slices.Concat(r.Create, r.Update)); err != nil {
		return nil, nil, err
	}
	resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	var where dynamic.ResourceInterface = client.Resource(resource)
	if object.GetKind() != "Namespace" {
		where = client.Resource(resource).Namespace(namespace)
	}
	if r.Update != nil {
		object, err = where.Update(ctx, object, metav1.UpdateOptions{})
	} else {
		object, err = where.Create(ctx, object, metav1.CreateOptions{})
	}
	return object, seen, err
}

// compareVerdict compares the server's response with the expected one.
func (r *Request) compareVerdict(p *place, answer error) error {
	if !r.denied() {
		return answer
	}
	var refusal apierrors.APIStatus
	if !errors.As(answer, &refusal) {
		return fmt.Errorf("the request was not denied: %w", answer)
	}
	status := refusal.Status()
	status.Message = p.said(status.Message)
	if r.Code != 0 && status.Code != r.Code || r.Message != "" && status.Message != r.Message {
		return fmt.Errorf("the request was denied with %d: %s", status.Code, status.Message)
	}
	for _, text := range r.Contains {
		if !strings.Contains(status.Message, text) {
			return fmt.Errorf("the request was denied with %d: %s", status.Code, status.Message)
		}
	}
	for _, text := range r.Lacks {
		if strings.Contains(status.Message, text) {
			return fmt.Errorf("the request was denied with: %s", status.Message)
		}
	}
	var causes []string
	if status.Details != nil {
		for _, cause := range status.Details.Causes {
			causes = append(causes, cause.Field+": "+cause.Message)
		}
	}
	slices.Sort(causes)
	if r.Causes != nil && !slices.Equal(causes, r.Causes) {
		return fmt.Errorf("the causes are %q", causes)
	}
	for _, part := range r.CauseParts {
		if !strings.Contains(strings.Join(causes, "\n"), part) {
			return fmt.Errorf("the causes are %q", causes)
		}
	}
	return nil
}

// compareAudit compares the audit event of the request, which is written a moment later.
func (r *Request) compareAudit(ctx context.Context, p *place, namespace string,
	sent time.Time) error {
	if len(r.Audit)+len(r.Verdicts) == 0 {
		return nil
	}
	var found *auditv1.Event
	err := eventually(ctx, func() error {
		events, err := p.AuditEvents()
		for _, event := range slices.Backward(events) {
			if r.isOf(&event, namespace) && !event.RequestReceivedTimestamp.Time.Before(sent) {
				found = &event
				return nil
			}
		}
		return errors.Join(errors.New("there is no audit event"), err)
	})
	if err != nil {
		return err
	}
	return r.compareAnnotations(p, found.Annotations)
}

// isOf reports whether an audit event belongs to the request.
func (r *Request) isOf(event *auditv1.Event, namespace string) bool {
	verb, name := "delete", r.Delete
	if name == "" {
		var object metav1.PartialObjectMetadata
		if json.Unmarshal(slices.Concat(r.Create, r.Update), &object) != nil {
			return false
		}
		verb, name = "create", object.Name
	}
	if r.Update != nil {
		verb = "update"
	}
	ref := event.ObjectRef
	return event.Verb == verb && ref != nil && ref.Namespace == namespace && ref.Name == name
}

func (r *Request) compareAnnotations(p *place, annotations map[string]string) error {
	for name, part := range r.Audit {
		if !strings.Contains(annotations[name], part) {
			return fmt.Errorf("the audit annotations are %q", annotations)
		}
	}
	verdicts := map[string]string{}
	for _, phase := range []string{"validate", "mutate.round_0"} {
		for _, text := range p.provenance(annotations, phase) {
			var provenance struct {
				Policies []struct{ Policy, Verdict string }
			}
			if text == "" {
				continue
			}
			if err := json.Unmarshal([]byte(text), &provenance); err != nil {
				return err
			}
			for _, policy := range provenance.Policies {
				verdicts[policy.Policy] = policy.Verdict
			}
		}
	}
	for policy, want := range r.Verdicts {
		if verdicts[policy] != want {
			return fmt.Errorf("the verdicts are %q", verdicts)
		}
	}
	return nil
}
