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
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// rate is the number of Pods that all clients together create per second. Server and clients use
// about a third of two processors for it. So a difference in latency is the cost of the request and
// not time in a queue, but requests still overlap as they do in a cluster.
const rate = 100

// request is one creation of a Pod.
type request struct {
	configuration int
	// due is when to send the request, since the start of the window.
	due time.Duration
	// late is the delay until the request was sent, and latency the time until the response. Both
	// count from due.
	late, latency time.Duration
}

// plan returns the requests of a window in random order, with the same number for each
// configuration. The clients take turns. The requests of a client are due in intervals of equal
// length, at a random time within each. So requests of different clients overlap by chance, as with
// independent clients.
func plan(random *rand.Rand, each int) []request {
	const interval = time.Second * clients / rate
	var requests []request
	for n, c := range configurations {
		count := each
		if c.seldom {
			count /= 10
		}
		requests = append(requests, slices.Repeat([]request{{configuration: n}}, count)...)
	}
	random.Shuffle(len(requests), func(i, j int) {
		requests[i], requests[j] = requests[j], requests[i]
	})
	for n := range requests {
		requests[n].due = time.Duration((float64(n/clients) + random.Float64()) * float64(interval))
	}
	return requests
}

// use is the processor time used in a period.
type use struct{ lasted, server, client time.Duration }

// window sends the requests and records their latencies.
func (b *bench) window(ctx context.Context, requests []request) (use, error) {
	before, err := b.used()
	if err != nil {
		return use{}, err
	}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for client := range clients {
		group.Go(func() error {
			for n := client; n < len(requests); n += clients {
				if err := b.send(ctx, start, &requests[n], fmt.Sprint("pod-", n)); err != nil {
					return fmt.Errorf("configuration %s: %w",
						configurations[requests[n].configuration].name, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return use{}, err
	}
	lasted := time.Since(start)
	after, err := b.used()
	return use{lasted, after.server - before.server, after.client - before.client}, err
}

// send creates a Pod when it is due.
func (b *bench) send(ctx context.Context, start time.Time, r *request, name string) error {
	due, wanted := start.Add(r.due), pod(name)
	select {
	case <-time.After(time.Until(due)):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.late = time.Since(due)
	_, err := b.client.CoreV1().Pods(configurations[r.configuration].name).
		Create(ctx, wanted, metav1.CreateOptions{})
	r.latency = time.Since(due)
	return err
}

// clear deletes the Pods of a window, and waits until the server is idle. Events reach the
// policies' caches long after the response to the last deletion.
func (b *bench) clear(ctx context.Context) error {
	err := inParallel(ctx, len(configurations), func(ctx context.Context, n int) error {
		return b.client.CoreV1().Pods(configurations[n].name).DeleteCollection(ctx,
			metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}, metav1.ListOptions{})
	})
	if err != nil {
		return err
	}
	return b.rest(ctx)
}

// rest waits until the server is almost idle.
func (b *bench) rest(ctx context.Context) error {
	const interval = 250 * time.Millisecond
	before, err := figure.ProcessorTimeOf(b.server.PID())
	if err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, interval, settleTimeout, false,
		func(context.Context) (bool, error) {
			now, err := figure.ProcessorTimeOf(b.server.PID())
			used := now - before
			before = now
			return used < interval/5, err
		})
}

// used returns the processor time that the server and this process have used so far.
func (b *bench) used() (use, error) {
	server, err := figure.ProcessorTimeOf(b.server.PID())
	return use{server: server, client: figure.ProcessorTime()}, err
}

func (u *use) add(other use) {
	u.lasted, u.server, u.client = u.lasted+other.lasted, u.server+other.server,
		u.client+other.client
}

// percent returns a processor time as a percentage of the machine's capacity.
func (u *use) percent(of time.Duration) float64 {
	return 100 * of.Seconds() / u.lasted.Seconds() / float64(runtime.NumCPU())
}
