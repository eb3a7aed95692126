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

// Package webhook answers admission reviews with the policies of a dispatcher. It does for
// apiservers that cannot have the plugin what the plugin does in an apiserver. Each policy is its
// own webhook, so that the apiserver itself enforces the policy's rules, selectors, failure policy,
// order and reinvocation.
package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/warning"
	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
)

// typeMeta is the kind and version of the reviews that the handler accepts.
var typeMeta = metav1.TypeMeta{
	APIVersion: admissionv1.SchemeGroupVersion.String(),
	Kind:       "AdmissionReview",
}

// operations are all operations of admission. They are a label of metrics, so a client that could
// make up others could create any number of series.
var operations = sets.New(admissionv1.Create, admissionv1.Update, admissionv1.Delete,
	admissionv1.Connect)

// maxUIDBytes bounds the UID in log lines.
const maxUIDBytes = 128

// Decode decodes an admission review and returns its request. It checks only the form of the
// request. The request shares the memory of data.
func Decode(data []byte) (*admissionv1.AdmissionRequest, error) {
	review, err := unmarshal(data)
	if err != nil {
		return nil, fmt.Errorf("decoding the admission review: %w", err)
	}
	switch r := review.Request; {
	case review.TypeMeta != typeMeta:
		return nil, fmt.Errorf("the body is %.100q of %.100q: send an %s of %s", review.Kind,
			review.APIVersion, typeMeta.Kind, typeMeta.APIVersion)
	case r == nil:
		return nil, errors.New("the admission review has no request")
	case r.UID == "":
		return nil, errors.New("the admission review has no request.uid")
	case len(r.UID) > maxUIDBytes:
		return nil, fmt.Errorf(
			"request.uid of the admission review has %d bytes: at most %d are allowed, and an apiserver sends 36",
			len(r.UID), maxUIDBytes)
	case !operations.Has(r.Operation):
		return nil, fmt.Errorf(
			"request.operation of the admission review is %.40q: it has to be one of %v",
			r.Operation, sets.List(operations))
	case !isObject(r.Object.Raw), !isObject(r.OldObject.Raw), !isObject(r.Options.Raw):
		return nil, errors.New(
			"request.object, request.oldObject and request.options of the admission review have to be objects or null")
	default:
		return r, nil
	}
}

// unmarshal decodes a review. A review that [open] does not accept is decoded as a whole.
func unmarshal(data []byte) (review admissionv1.AdmissionReview, err error) {
	e, opened := open(data)
	if !opened {
		return review, kjson.UnmarshalCaseSensitivePreserveInts(data, &review)
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(e.rest, &review); err != nil {
		return review, err
	}
	r := review.Request
	for _, taken := range [...]struct {
		to  *[]byte
		raw []byte
	}{{&r.Object.Raw, e.object}, {&r.OldObject.Raw, e.oldObject}, {&r.Options.Raw, e.options}} {
		if taken.raw != nil {
			*taken.to = taken.raw
		}
	}
	return review, nil
}

// isObject reports whether JSON text is an object or empty.
func isObject(raw []byte) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) == 0 || raw[0] == '{'
}

// Mutating and Validating are the phases of admission as they appear in paths.
const (
	Mutating   = "mutate"
	Validating = "validate"
)

// review evaluates a request with a policy. An error means that there is no answer, so the
// apiserver applies the webhook's failure policy. If the context has ended, ignore the result: the
// request was not evaluated.
func review(ctx context.Context, d *dispatch.Dispatcher, phase, policy string,
	r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	attr := newAttributes(policy, r)
	said := &warnings{}
	ctx, err := withAudit(warning.WithWarningRecorder(ctx, said))
	if err != nil {
		return nil, err
	}
	ask := d.ReviewValidating
	if phase == Mutating {
		ask = d.ReviewMutating
	}
	refused := ask(ctx, policy, attr, interfaces{attr})
	response := &admissionv1.AdmissionResponse{
		UID:              r.UID,
		Allowed:          refused == nil,
		Warnings:         said.texts,
		AuditAnnotations: attr.annotations,
	}
	var status apierrors.APIStatus
	switch {
	case attr.err != nil:
		return nil, attr.err
	case refused == nil:
		if len(attr.patch) > 0 {
			response.Patch, response.PatchType = attr.patch, new(admissionv1.PatchTypeJSONPatch)
		}
	case errors.As(refused, &status):
		result := status.Status()
		response.Result = &result
	default:
		return nil, refused
	}
	return response, nil
}

// warnings are for the client that made the request.
type warnings struct{ texts []string }

// AddWarning implements [warning.Recorder].
func (w *warnings) AddWarning(_, text string) { w.texts = append(w.texts, text) }

// withAudit makes a request audited at level Metadata, the level of annotations in responses.
func withAudit(ctx context.Context) (context.Context, error) {
	ctx = audit.WithAuditContext(ctx)
	config := audit.RequestAuditConfig{Level: auditinternal.LevelMetadata}
	return ctx, audit.AuditContextFrom(ctx).Init(config, nil)
}
