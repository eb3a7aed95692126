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
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// The durations of the parts of a measurement.
const (
	warmUp  = 2 * time.Second
	measure = 8 * time.Second
)

// several is the number of senders on the connection when a server's maximum throughput is
// measured.
const several = 8

// client sends admission reviews over one connection, as an apiserver does.
type client struct {
	http *http.Client
	body []byte
}

func newClient(body []byte) *client {
	// The server's certificate was created for this benchmark.
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // loopback, in a benchmark
	return &client{
		http: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig:     config,
				ForceAttemptHTTP2:   true,
				MaxIdleConnsPerHost: 256,
			},
		},
		body: body,
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// send sends a review to a policy, which must admit it.
func (c *client) send(ctx context.Context, url string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(c.body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s responded with status %d: %s", url, response.StatusCode, text)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(text, &review); err != nil {
		return err
	}
	if review.Response == nil || !review.Response.Allowed {
		return fmt.Errorf("%s did not admit the Pod: %s", url, text)
	}
	return nil
}

// closed runs senders that send the next review after each response. It returns the number of
// reviews per second, and per second of the server's processor time.
func closed(ctx context.Context, c *client, t target, senders int,
	duration time.Duration) (rate, perCore float64, err error) {
	used, err := figure.ProcessorTimeOf(t.pid())
	if err != nil {
		return 0, 0, err
	}
	var answered atomic.Int64
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range senders {
		group.Go(func() error {
			for time.Since(start) < duration {
				if err := c.send(ctx, t.url(int(answered.Add(1)))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, 0, err
	}
	took := time.Since(start)
	now, err := figure.ProcessorTimeOf(t.pid())
	if err != nil {
		return 0, 0, err
	}
	n := float64(answered.Load())
	return n / took.Seconds(), n / (now - used).Seconds(), nil
}

// open sends reviews at a rate, without waiting for responses, and returns the 99th percentile of
// the time from when a review was due to its response.
func open(ctx context.Context, c *client, t target, rate float64,
	duration time.Duration) (time.Duration, error) {
	var (
		senders sync.WaitGroup
		lock    sync.Mutex
		took    []time.Duration
		failed  atomic.Pointer[error]
	)
	start := time.Now()
	for n := range int(rate * duration.Seconds()) {
		due := start.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		senders.Go(func() {
			if err := c.send(ctx, t.url(n)); err != nil {
				failed.Store(&err)
			}
			lock.Lock()
			defer lock.Unlock()
			took = append(took, time.Since(due))
		})
	}
	senders.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	if len(took) == 0 {
		return 0, errors.New("no review was sent")
	}
	slices.Sort(took)
	return took[len(took)*99/100], nil
}

// resident returns the resident memory of a process in MiB, without its children.
func resident(pid int) (float64, error) {
	bytes, err := figure.Resident(pid)
	return float64(bytes) / (1 << 20), err
}

// peak watches the resident memory of a process until stop is called. stop returns the maximum.
func peak(pid int) (stop func() float64) {
	ended, most := make(chan struct{}), make(chan float64)
	go func() {
		highest := 0.0
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			if now, err := resident(pid); err == nil {
				highest = max(highest, now)
			}
			select {
			case <-ended:
				most <- highest
				return
			case <-ticker.C:
			}
		}
	}()
	return func() float64 {
		close(ended)
		return <-most
	}
}
