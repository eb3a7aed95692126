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

// Package kinds finds the resources of kinds. It knows Kubernetes' own kinds, and asks a cluster
// for others.
package kinds

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/discovery/cached/disk"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/restmapper"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/kubeconfig"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
)

const (
	// connectTimeout and answerTimeout bound the wait for an unreachable cluster.
	connectTimeout = time.Second
	answerTimeout  = 10 * time.Second
	// cacheTTL is how long a cluster's answer is cached. Missing kinds are asked for again.
	cacheTTL = 6 * time.Hour
)

// clusterWide are the cluster-scoped kinds of Kubernetes.
var clusterWide = sets.New(
	"APIService", "CertificateSigningRequest", "ClusterRole", "ClusterRoleBinding",
	"ClusterTrustBundle", "ComponentStatus", "CSIDriver", "CSINode", "DeviceClass",
	"DeviceTaintRule", "FlowSchema", "IngressClass", "IPAddress", "MutatingAdmissionPolicy",
	"MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration", "Namespace", "Node",
	"PersistentVolume", "PriorityClass", "PriorityLevelConfiguration", "ResourcePoolStatusRequest",
	"ResourceSlice", "RuntimeClass", "SelfSubjectAccessReview", "SelfSubjectReview",
	"SelfSubjectRulesReview", "ServiceCIDR", "StorageClass", "StorageVersion",
	"StorageVersionMigration", "SubjectAccessReview", "TokenReview", "ValidatingAdmissionPolicy",
	"ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration", "VolumeAttachment",
	"VolumeAttributesClass",
)

// Options configure the access to a cluster for kinds that do not belong to Kubernetes.
type Options struct {
	// Kubeconfig is the path of the kubeconfig. With "", it is that of KUBECONFIG, or
	// ~/.kube/config.
	Kubeconfig string
	// CacheDirectory is the directory for clusters' answers. With "", they are not cached.
	CacheDirectory string
}

// Builtin returns the resource of one of Kubernetes' own kinds. It returns false for any other
// kind.
func Builtin(kind schema.GroupVersionKind) (review.Resource, bool) {
	if !scheme.Scheme.Recognizes(kind) {
		return review.Resource{}, false
	}
	guess, _ := meta.UnsafeGuessKindToResource(kind)
	return review.Resource{Plural: guess.Resource, Namespaced: !clusterWide.Has(kind.Kind)}, true
}

// Find returns the resource of a kind. It asks a cluster for a kind that does not belong to
// Kubernetes. If the cluster cannot be asked or does not have the kind, the result is a guess, and
// the error says why.
func (o *Options) Find(ctx context.Context, kind schema.GroupVersionKind) (review.Resource, error) {
	if resource, known := Builtin(kind); known {
		return resource, nil
	}
	mapping, err := o.ask(ctx, kind)
	if err != nil {
		guess, _ := meta.UnsafeGuessKindToResource(kind)
		return review.Resource{Plural: guess.Resource}, err
	}
	return review.Resource{
		Plural:     mapping.Resource.Resource,
		Namespaced: mapping.Scope.Name() == meta.RESTScopeNameNamespace,
	}, nil
}

func (o *Options) ask(ctx context.Context,
	kind schema.GroupVersionKind) (*meta.RESTMapping, error) {
	config, err := kubeconfig.Load(o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf(
			"there is no usable kubeconfig (name one with --kubeconfig or in KUBECONFIG): %w",
			err)
	}
	config.Timeout, config.Dial = answerTimeout, (&net.Dialer{Timeout: connectTimeout}).DialContext
	if o.CacheDirectory == "" {
		return nil, errors.New(
			"there is no directory for the cluster's answers: name one with --cache-directory")
	}
	client, err := disk.NewCachedDiscoveryClientForConfig(config,
		filepath.Join(o.CacheDirectory, fileName(config.Host)), "", cacheTTL)
	if err != nil {
		return nil, fmt.Errorf("creating a client from the kubeconfig: %w", err)
	}
	ctx = klog.NewContext(ctx, logr.Discard()) // the error contains the same text
	mapping, err := restmapper.NewDeferredDiscoveryRESTMapperWithContext(client).
		RESTMappingWithContext(ctx, kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("the cluster at %s has no kind %s of %s", config.Host, kind.Kind,
			kind.GroupVersion())
	}
	return mapping, err
}

// unusual matches characters that file names should not contain.
var unusual = regexp.MustCompile(`[^a-zA-Z0-9.]`)

// fileName returns a directory name for a server.
func fileName(host string) string { return unusual.ReplaceAllString(host, "_") }
