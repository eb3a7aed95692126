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

package sample

import (
	"encoding/json"
	"errors"

	admissionv1 "k8s.io/api/admission/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/test/bench/evaluation"
)

// Pod returns the Pod, as a server passes it to admission.
func Pod() (*corev1.Pod, error) {
	data, err := evaluation.Request()
	if err != nil {
		return nil, err
	}
	var request admissionv1.AdmissionRequest
	if err := json.Unmarshal(data, &request); err != nil {
		return nil, err
	}
	pod := &corev1.Pod{}
	if err := json.Unmarshal(request.Object.Raw, pod); err != nil {
		return nil, err
	}
	if pod.Name == "" || len(pod.Spec.Containers) == 0 {
		return nil, errors.New("the review has no pod")
	}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	return pod, nil
}

// Creation returns the attributes of a request that creates a Pod. The object may be a type that
// wraps a Pod.
func Creation(pod interface {
	runtime.Object
	metav1.Object
}) admission.Attributes {
	return admission.NewAttributesRecord(pod, nil, pod.GetObjectKind().GroupVersionKind(),
		pod.GetNamespace(), pod.GetName(), corev1.SchemeGroupVersion.WithResource("pods"), "",
		admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{
			Name: "system:serviceaccount:kube-system:replicaset-controller",
			Groups: []string{
				"system:serviceaccounts", "system:serviceaccounts:kube-system",
				"system:authenticated",
			},
		})
}

// Renewal returns the attributes of a request with which a node renews its Lease. This is the most
// frequent request in an idle cluster.
func Renewal() admission.Attributes {
	lease := &coordinationv1.Lease{
		TypeMeta: metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"},
	}
	return admission.NewAttributesRecord(lease, lease, lease.GroupVersionKind(), "kube-node-lease",
		"node-1", coordinationv1.SchemeGroupVersion.WithResource("leases"), "", admission.Update,
		&metav1.UpdateOptions{}, false, &user.DefaultInfo{Name: "system:node:node-1"})
}

// ObjectInterfaces returns the interfaces of a server that serves events in two groups.
func ObjectInterfaces() admission.ObjectInterfaces {
	return admission.NewObjectInterfacesFromScheme(scheme.Scheme)
}

// NewDispatcher returns a dispatcher without policies, for an empty cluster.
func NewDispatcher() (*dispatch.Dispatcher, error) {
	client := fake.NewClientset()
	return dispatch.New(dispatch.Config{
		Client:     client,
		Informers:  informers.NewSharedInformerFactory(client, 0),
		Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(),
	})
}
