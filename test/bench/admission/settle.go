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
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// settleTimeout is the time in which the server must see the created objects.
const settleTimeout = time.Minute

// settle waits until every configuration is in effect: a privileged Pod is denied for the right
// reason, and by the right number of policies according to the server's counters. (The server does
// not count CEL policies that admit.)
func (b *bench) settle(ctx context.Context) error {
	for _, c := range configurations {
		var last error
		err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, settleTimeout, true,
			func(context.Context) (bool, error) {
				last = b.probe(ctx, c)
				return last == nil, nil
			})
		if err != nil {
			return fmt.Errorf("configuration %s is not in effect: %w", c.name, last)
		}
	}
	return nil
}

// probe returns an error if a configuration is not in effect.
func (b *bench) probe(ctx context.Context, c configuration) error {
	before, err := b.checks(ctx)
	if err != nil {
		return err
	}
	privileged := b.named("privileged")
	privileged.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	_, refusal := b.client.CoreV1().Pods(c.name).
		Create(ctx, privileged, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	after, err := b.checks(ctx)
	if err != nil {
		return err
	}
	switch {
	case c.policies == 0 && refusal != nil:
		return refusal
	case c.policies > 0 && refusal == nil:
		return errors.New("a privileged Pod was admitted")
	case c.policies > 0 &&
		!strings.Contains(refusal.Error(), "Privileged container is not allowed"):
		return fmt.Errorf("a privileged Pod was denied for another reason: %w", refusal)
	}
	for m := range after {
		want := 0
		if m == c.mechanism {
			want = c.policies
		}
		if got := after[m] - before[m]; got != want {
			return fmt.Errorf("a Pod raised %s…%s…} by %d instead of %d", m.counter, m.label, got, want)
		}
	}
	return nil
}

// named returns a copy of the Pod with a name.
func (b *bench) named(name string) *corev1.Pod {
	pod := b.pod.DeepCopy()
	pod.Name = name
	return pod
}

// checks reads the server's counters of checks.
func (b *bench) checks(ctx context.Context) (map[mechanism]int, error) {
	metrics, err := b.server.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	counts := map[mechanism]int{inProcess: 0, byCEL: 0, byWebhook: 0, byPolicyServer: 0}
	for line := range strings.Lines(metrics) {
		for m := range counts {
			if !strings.HasPrefix(line, m.counter) || !strings.Contains(line, m.label) {
				continue
			}
			count, err := strconv.Atoi(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]))
			if err != nil {
				return nil, fmt.Errorf("metric %q: %w", line, err)
			}
			counts[m] += count
		}
	}
	return counts, nil
}
