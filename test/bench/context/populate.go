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

package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	namespaces, pods = 3_000, 10_000
	// clients is the number of concurrent clients.
	clients = 20
	// settleTimeout is the time in which every policy must get its list.
	settleTimeout = time.Minute
)

// populate creates the objects that policies list. The pods are spread over a hundred namespaces.
func (b *bench) populate(ctx context.Context) error {
	err := inParallel(ctx, namespaces-len(configurations), func(ctx context.Context, n int) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("ns-", n)}}
		_, err := b.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return inParallel(ctx, pods, func(ctx context.Context, n int) error {
		_, err := b.client.CoreV1().Pods(fmt.Sprint("ns-", n%100)).
			Create(ctx, pod(fmt.Sprint("pod-", n)), metav1.CreateOptions{})
		return err
	})
}

// pod returns a pod that takes 1.7 KB in a list.
func pod(name string) *corev1.Pod {
	quantities := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("100m"),
		corev1.ResourceMemory: resource.MustParse("128Mi"),
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				"app.kubernetes.io/name":     "web",
				"app.kubernetes.io/instance": "web-production",
				"pod-template-hash":          "5d4f8c7b9",
			},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "web", Image: "registry.example.com/team/web:1.2.3",
			Args:      []string{"--port=8080", "--log-level=info"},
			Ports:     []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
			Resources: corev1.ResourceRequirements{Requests: quantities, Limits: quantities},
			Env:       []corev1.EnvVar{{Name: "DATABASE_HOST", Value: "database.default.svc"}},
		}}},
	}
}

// inParallel calls work with all numbers below count, with as many calls at a time as there are
// clients.
func inParallel(ctx context.Context, count int, work func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(clients)
	for n := range count {
		group.Go(func() error { return work(ctx, n) })
	}
	return group.Wait()
}

// settle waits until every policy has its list.
func (b *bench) settle(ctx context.Context) error {
	for _, c := range configurations {
		var last error
		err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, settleTimeout, true,
			func(ctx context.Context) (bool, error) {
				_, err := b.client.CoreV1().Pods(c.name).
					Create(ctx, pod("probe"),
						metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
				if err != nil && ctx.Err() == nil {
					last = err
				}
				return err == nil, nil
			})
		if err != nil {
			return fmt.Errorf("configuration %s is not in effect: %w", c.name, last)
		}
	}
	return nil
}
