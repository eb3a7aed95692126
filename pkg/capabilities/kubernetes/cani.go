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

package kubernetes

import (
	"context"
	"errors"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// reviewKey is the encoded question to the authorizer. A guest may make it long.
type reviewKey string

// size implements [question].
func (k reviewKey) size() int64 { return int64(len(k)) }

// canI answers can_i: whether the authorizer allows somebody to do something.
func (k *Kubernetes) canI(ctx context.Context, _ *capabilities.Caller,
	payload []byte) ([]byte, result, error) {
	request := canIRequest{}
	if err := decode(payload, &request); err != nil {
		return nil, "", err
	}
	spec, err := request.spec()
	if err != nil {
		return nil, "", err
	}
	key, err := marshal(spec)
	if err != nil {
		return nil, "", err
	}
	return k.reviews.get(ctx, reviewKey(key), request.DisableCache,
		func(ctx context.Context) ([]byte, error) {
			status, err := k.review(ctx, spec)
			if err != nil {
				return nil, err
			}
			return marshal(status)
		})
}

// spec converts the request to the spec of a SubjectAccessReview.
func (r *canIRequest) spec() (*authorizationv1.SubjectAccessReviewSpec, error) {
	if r.Review == nil {
		return nil, missingField("subject_access_review")
	}
	name, err := required("user", r.Review.User)
	if err != nil {
		return nil, err
	}
	if len(r.Review.Groups) > maxGroups {
		return nil, &refusal{
			fmt.Errorf("%d groups are too many: a call may have %d", len(r.Review.Groups),
				maxGroups),
		}
	}
	for _, group := range r.Review.Groups {
		if err := bounded("groups", group, maxNameBytes); err != nil {
			return nil, err
		}
	}
	if name == "" && len(r.Review.Groups) == 0 {
		return nil, &refusal{errors.New("at least one of user and groups must not be empty")}
	}
	attributes, err := r.Review.attributes()
	if err != nil {
		return nil, err
	}
	spec := &authorizationv1.SubjectAccessReviewSpec{User: name, Groups: r.Review.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: attributes.Namespace, Group: attributes.Group, Version: attributes.Version,
			Subresource: attributes.Subresource, Name: attributes.Name,
		}}
	if spec.ResourceAttributes.Verb, err = required("verb", attributes.Verb); err != nil {
		return nil, err
	}
	spec.ResourceAttributes.Resource, err = required("resource", attributes.Resource)
	if err != nil {
		return nil, err
	}
	for field, value := range map[string]string{
		"namespace": attributes.Namespace, "group": attributes.Group, "version": attributes.Version,
		"subresource": attributes.Subresource, "name": attributes.Name,
	} {
		if err := bounded(field, value, maxNameBytes); err != nil {
			return nil, err
		}
	}
	return spec, nil
}

// review asks the authorizer, as the apiserver does for a SubjectAccessReview. Without an
// authorizer, it asks the server.
func (k *Kubernetes) review(ctx context.Context,
	spec *authorizationv1.SubjectAccessReviewSpec) (*authorizationv1.SubjectAccessReviewStatus,
	error) {
	if k.options.Authorizer == nil {
		return k.ask(ctx, spec)
	}
	attributes := spec.ResourceAttributes
	decision, reason, err := k.options.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: spec.User, Groups: spec.Groups},
		Verb: attributes.Verb, Namespace: attributes.Namespace, APIGroup: attributes.Group,
		APIVersion: attributes.Version,
		Resource:   attributes.Resource, Subresource: attributes.Subresource, Name: attributes.Name,
		ResourceRequest: true,
	})
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("asking the authorizer: %w", context.Cause(ctx))
	}
	status := &authorizationv1.SubjectAccessReviewStatus{
		Allowed: decision == authorizer.DecisionAllow, Denied: decision == authorizer.DecisionDeny,
		Reason: reason,
	}
	if err != nil {
		status.EvaluationError = err.Error()
	}
	return status, nil
}

// ask sends the review to the server.
func (k *Kubernetes) ask(ctx context.Context,
	spec *authorizationv1.SubjectAccessReviewSpec) (*authorizationv1.SubjectAccessReviewStatus,
	error) {
	review := &authorizationv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{
			APIVersion: authorizationv1.SchemeGroupVersion.String(),
			Kind:       "SubjectAccessReview",
		},
		Spec: *spec,
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(review)
	if err != nil {
		return nil, err
	}
	answer, err :=
		k.options.Client.Resource(authorizationv1.SchemeGroupVersion.WithResource(
			"subjectaccessreviews")).
			Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("asking for a SubjectAccessReview: %w", err)
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructured(answer.Object, review)
	if err != nil {
		return nil, err
	}
	return &review.Status, nil
}
