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
	"encoding/json"
	"errors"
	"path/filepath"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
)

// countedPod is a Pod that counts how often it is encoded as JSON, and so how often its review is.
// Copies count too.
type countedPod struct {
	*corev1.Pod
	encodings *atomic.Int64
}

// MarshalJSON implements [json.Marshaler].
func (p countedPod) MarshalJSON() ([]byte, error) {
	p.encodings.Add(1)
	return json.Marshal(p.Pod)
}

// DeepCopyObject implements [runtime.Object].
func (p countedPod) DeepCopyObject() runtime.Object {
	return countedPod{Pod: p.DeepCopy(), encodings: p.encodings}
}

// countEncodings counts how often a review for ten policies is encoded. It uses a dispatcher in
// this process, because a server cannot use a countedPod.
func countEncodings(ctx context.Context, directory string) (err error) {
	const policies, requests = 10, 100
	// Store the compiled code where the server looks for it, so that the server does not have to
	// compile.
	e, err := engine.New(engine.Options{
		Compilation:    engine.InProcess,
		CacheDirectory: filepath.Join(directory, "compiled"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	all, err := sample.Load(ctx, e, sample.PodPolicies(directory, most(inProcess))...)
	if err != nil {
		return err
	}
	defer all.Close()
	set, err := sample.Load(ctx, e, sample.PodPolicies(directory, policies)...)
	if err != nil {
		return err
	}
	defer set.Close()
	dispatcher, err := sample.NewDispatcher()
	if err != nil {
		return err
	}
	dispatcher.Use(set)
	pod, err := sample.Pod()
	if err != nil {
		return err
	}
	counted := countedPod{Pod: pod, encodings: new(atomic.Int64)}
	for range requests {
		if err := dispatcher.Validate(ctx, sample.Creation(counted),
			sample.ObjectInterfaces()); err != nil {
			return err
		}
	}
	figure.Print("encodes_per_request", float64(counted.encodings.Load())/requests, "encodings")
	return nil
}
