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

// Package kubernetes reads the cluster through the host. A policy can read the kinds that its
// metadata lists in contextAwareResources and that the cluster's administrator grants, as far as
// the host's user may read them. Lists are as old as the host's cache.
//
// A failure is a policy.HostError. That includes an object that does not exist: the protocol does
// not distinguish it from other failures.
package kubernetes

import (
	"github.com/wasm-admission/wasm-admission/sdk/go/internal/capability"
)

// GetOptions say which object to get.
type GetOptions struct {
	// APIVersion and Kind are those of the object, such as apps/v1 and Deployment. Required.
	APIVersion string `json:"api_version"`
	Kind       string `json:"kind"`
	// Name is the name of the object. Required.
	Name string `json:"name"`
	// Namespace is required for namespaced kinds, and empty for others.
	Namespace string `json:"namespace,omitempty"`
	// DisableCache asks the API server even if the host has an answer from some seconds ago.
	DisableCache bool `json:"disable_cache"`
	// FieldMasks are paths of the wanted fields, such as spec.containers.image. If there are none,
	// all fields are returned. apiVersion, kind and metadata are always included.
	FieldMasks []string `json:"field_masks,omitempty"`
}

// Get returns an object. T is a type as for policy.Object.
func Get[T any](o GetOptions) (T, error) {
	return capability.Call[T]("kubernetes", "get_resource", o)
}

// ListOptions say which objects to list.
type ListOptions struct {
	// APIVersion and Kind are those of the objects, such as v1 and Pod. Required.
	APIVersion string `json:"api_version"`
	Kind       string `json:"kind"`
	// Namespace is the namespace of the objects. "" means all.
	Namespace string `json:"namespace,omitempty"`
	// LabelSelector and FieldSelector have the syntax of kubectl. "" selects all objects.
	LabelSelector string `json:"label_selector,omitempty"`
	FieldSelector string `json:"field_selector,omitempty"`
	// FieldMasks are paths of the wanted fields, such as spec.containers.image. If there are none,
	// all fields are returned. apiVersion, kind and metadata are always included.
	FieldMasks []string `json:"field_masks,omitempty"`
}

// List returns objects in no particular order. T is a type as for policy.Object.
func List[T any](o ListOptions) ([]T, error) {
	operation := "list_resources_all"
	if o.Namespace != "" {
		operation = "list_resources_by_namespace"
	}
	list, err := capability.Call[struct {
		Items []T `json:"items"`
	}]("kubernetes", operation, o)
	return list.Items, err
}

// AccessReview asks whether a user may do something.
type AccessReview struct {
	// User is the name of the user. Required.
	User string `json:"user"`
	// Groups are the groups of the user.
	Groups []string `json:"groups,omitempty"`
	// ResourceAttributes say what the user wants to do.
	ResourceAttributes ResourceAttributes `json:"resource_attributes"`
}

// ResourceAttributes are an action on a resource.
type ResourceAttributes struct {
	// Resource, in the plural, and Verb are required.
	Resource string `json:"resource"`
	Verb     string `json:"verb"`
	// Group is empty for the core group.
	Group string `json:"group,omitempty"`
	// Version, Subresource, Name and Namespace may be "", which stands for any.
	Version     string `json:"version,omitempty"`
	Subresource string `json:"subresource,omitempty"`
	Name        string `json:"name,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
}

// AccessReviewStatus is the answer of an authorizer.
type AccessReviewStatus struct {
	// Allowed is set if the user may do it.
	Allowed bool `json:"allowed"`
	// Denied is set if an authorizer denied it explicitly, and not if only none allowed it.
	Denied bool `json:"denied"`
	// Reason and EvaluationError are messages from the authorizers.
	Reason          string `json:"reason"`
	EvaluationError string `json:"evaluationError"`
}

// CanI asks the cluster's authorizers whether a user may do something. The host may return an
// answer from some seconds ago, unless disableCache is set.
func CanI(review AccessReview, disableCache bool) (AccessReviewStatus, error) {
	return capability.Call[AccessReviewStatus]("kubernetes", "can_i", struct {
		Review       AccessReview `json:"subject_access_review"`
		DisableCache bool         `json:"disable_cache"`
	}{review, disableCache})
}
