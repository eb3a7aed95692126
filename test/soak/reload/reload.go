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

// Package reload sends requests to a real apiserver while its policies change, and checks every
// response.
package reload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// Options set the amount of load. All fields are required.
type Options struct {
	// Requests is the number of requests to send.
	Requests int
	// Clients is the number of concurrent requests.
	Clients int
	// Changes is the minimum number of policy changes.
	Changes int
	// Modules is a directory with the modules of test/wat. Only the current user may be able to
	// write to it.
	Modules string
}

// Report is the result of a run.
type Report struct {
	// Requests is the number of requests sent.
	Requests int
	// Wrong is the number of requests that were admitted, or whose verdict comes from no set or
	// from two.
	Wrong int
	// Lost is the number of requests without a verdict.
	Lost int
	// Sets is the number of verdicts from each set.
	Sets [2]int
	// Changes is the number of policy changes, and Bad is the number of bad ones among them.
	Changes, Bad int
	// Settings are the times that the server took to apply new settings, sorted.
	Settings []time.Duration
	// Examples are some wrong responses, and errors of lost requests.
	Examples []string
}

// Percentile returns a percentile of sorted times. It is 0 if there are none.
func Percentile(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return times[(len(times)*percent-1)/100]
}

// Run starts a server, and sends requests to it while its policies change between two sets. Every
// tenth change cannot be loaded.
func Run(ctx context.Context, o Options) (report Report, err error) {
	policies, err := newPolicies(o.Modules)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, policies.remove()) }()
	server, err := harness.New(harness.Options{
		FeatureGate:     true,
		AdmissionConfig: policies.configuration(),
	})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()

	t := &tally{}
	var sent atomic.Int64
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changing := make(chan error, 1)
	enough := make(chan struct{})
	go func() { changing <- policies.change(ctx, server, &report, o.Changes, enough) }()
	var clients sync.WaitGroup
	for range o.Clients {
		clients.Go(func() {
			client := server.Clientset().CoreV1().ConfigMaps(metav1.NamespaceDefault)
			for sent.Add(1) <= int64(o.Requests) && ctx.Err() == nil {
				t.count(request(ctx, client))
			}
		})
	}
	clients.Wait()
	close(enough)
	err = <-changing
	report.Requests, report.Wrong, report.Lost, report.Sets, report.Examples = t.requests, t.wrong,
		t.lost, t.sets, t.examples
	slices.Sort(report.Settings)
	return report, err
}

// request sends a request that both sets deny.
func request(ctx context.Context, client corev1client.ConfigMapInterface) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err := client.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "soak-"},
	}, metav1.CreateOptions{})
	return err
}

// tally counts responses. It is safe for concurrent use.
type tally struct {
	mu                    sync.Mutex
	requests, wrong, lost int
	sets                  [2]int
	examples              []string
}

func (t *tally) count(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests++
	var status apierrors.APIStatus
	switch {
	case err == nil:
		t.wrong++
		t.example("admitted")
	case !errors.As(err, &status) ||
		!strings.HasPrefix(status.Status().Message, "WasmAdmission policy "):
		t.lost++
		t.example(err.Error())
	default:
		set := slices.Index(verdicts[:], status.Status().Message)
		if set < 0 {
			t.wrong++
			t.example(status.Status().Message)
			return
		}
		t.sets[set]++
	}
}

func (t *tally) example(text string) {
	if len(t.examples) < 10 {
		t.examples = append(t.examples, fmt.Sprintf("request %d: %s", t.requests, text))
	}
}
