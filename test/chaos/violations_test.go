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

package chaos

import (
	"context"
	"encoding/json"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// kept is the name of an object that complies, and is never allowed to change.
const kept = "kept"

// violation is a write that a policy must deny.
type violation struct {
	name, policy string
	write        func(context.Context, kubernetes.Interface) error
}

var violations = []violation{
	{"create a privileged Pod", "no-privileged-pods", func(ctx context.Context, client kubernetes.Interface) error {
		_, err := client.CoreV1().Pods(namespace).Create(ctx, pod("", true), metav1.CreateOptions{})
		return err
	}},
	{"create a ConfigMap without the label", "clusterwide-team-label", func(ctx context.Context, client kubernetes.Interface) error {
		_, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, configMap(""), metav1.CreateOptions{})
		return err
	}},
	{"create a Deployment of privileged Pods", "no-privileged-pods", func(ctx context.Context, client kubernetes.Interface) error {
		_, err := client.AppsV1().Deployments(namespace).Create(ctx, deployment(), metav1.CreateOptions{})
		return err
	}},
	{"create a ConfigMap with another label", "clusterwide-team-label", func(ctx context.Context, client kubernetes.Interface) error {
		_, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, configMap("", "team", "UPPER"), metav1.CreateOptions{})
		return err
	}},
	{"apply a privileged Pod", "no-privileged-pods", func(ctx context.Context, client kubernetes.Interface) error {
		object := pod("applied", true)
		object.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
		patch, err := json.Marshal(object)
		if err != nil {
			return err
		}
		_, err = client.CoreV1().Pods(namespace).Patch(ctx, object.Name, types.ApplyPatchType, patch, metav1.PatchOptions{FieldManager: "chaos"})
		return err
	}},
	{"remove the label", "clusterwide-team-label", func(ctx context.Context, client kubernetes.Interface) error {
		_, err := client.CoreV1().ConfigMaps(namespace).Patch(ctx, kept, types.MergePatchType, []byte(`{"metadata":{"labels":{"team":null}}}`), metav1.PatchOptions{})
		return err
	}},
}

// metadata names an object, or has the server name it. Labels are names and values in turn.
func metadata(name string, labels ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: name, Labels: map[string]string{}}
	if name == "" {
		m.GenerateName = "chaos-"
	}
	for n := 0; n < len(labels); n += 2 {
		m.Labels[labels[n]] = labels[n+1]
	}
	return m
}

func configMap(name string, labels ...string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metadata(name, labels...)}
}

func pod(name string, privileged bool) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metadata(name), Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name:            "c",
		Image:           "example.com/image:1",
		SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
	}}}}
}

func deployment() *appsv1.Deployment {
	labels := map[string]string{"app": "chaos"}
	return &appsv1.Deployment{ObjectMeta: metadata(""), Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod("", true).Spec},
	}}
}
