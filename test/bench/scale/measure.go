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
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
)

// requests holds the costs of requests and of a change.
type requests struct {
	// NoMatch is the time of a request that matches no policy, in ns. OneMatch is the processor
	// time of a request that one policy evaluates.
	NoMatch  float64
	OneMatch time.Duration
	// Reload is the processor time from a change of one policy until the change is served.
	Reload time.Duration
}

// measure starts the policies in a directory as a server does, and prints the measurements.
func measure(ctx context.Context, directory string, more bool) (err error) {
	dispatcher, err := sample.NewDispatcher()
	if err != nil {
		return err
	}
	defer dispatcher.Close()
	var r result
	began, used := time.Now(), figure.ProcessorTime()
	manager, err := serve(ctx, directory) // not closed, because the process exits
	if err != nil {
		return err
	}
	manager.Subscribe(dispatcher.Use)
	r.Start, r.Processor = time.Since(began), figure.ProcessorTime()-used
	if r.WithGarbage, err = figure.Resident(os.Getpid()); err != nil {
		return err
	}
	r.Resident = figure.ResidentBytes()
	if more {
		if err := r.measure(ctx, dispatcher, manager, directory); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// serve loads the policies in a directory.
func serve(ctx context.Context, directory string) (*reload.Manager, error) {
	data, err := json.Marshal(map[string]any{
		"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration",
		"policyDirectory": manifests(directory), "stateDirectory": state(directory),
		// compiling 300 modules takes long on a busy machine
		"reload": map[string]any{"loadTimeout": "1h"},
	})
	if err != nil {
		return nil, err
	}
	config, err := assembly.Decode(data)
	if err != nil {
		return nil, err
	}
	a, err := assembly.New(ctx, config, assembly.Options{Warn: func(policyset.Warning) {}})
	if err != nil {
		return nil, err
	}
	manager := a.Manager(reload.NewSource(config))
	if err := manager.Start(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return manager, nil
}

const rounds, batch = 15, 100

func (r *result) measure(ctx context.Context, dispatcher *dispatch.Dispatcher,
	manager *reload.Manager, directory string) error {
	pod, err := sample.Pod()
	if err != nil {
		return err
	}
	interfaces := sample.ObjectInterfaces()
	unwanted, wanted := sample.Renewal(), sample.Creation(pod)
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if err := dispatcher.Validate(ctx, unwanted, interfaces); err != nil {
				b.Fatal(err)
			}
		}
	})
	r.NoMatch = float64(result.T.Nanoseconds()) / float64(result.N)
	cpu, _, err := figure.Interleave(rounds, batch, func() error {
		return dispatcher.Validate(ctx, wanted, interfaces)
	})
	if err != nil {
		return err
	}
	r.OneMatch = cpu[0]
	r.Reload, err = change(ctx, manager, directory)
	return err
}

// change repeatedly changes the message of the first policy, and returns the median processor time.
func change(ctx context.Context, manager *reload.Manager, directory string) (time.Duration, error) {
	const changes, patience = 5, time.Minute
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan struct{}, changes+2)
	manager.Subscribe(func(*policyset.Set) { served <- struct{}{} })
	<-served // the current set
	go manager.Run(ctx)
	var took []time.Duration
	for n := range changes {
		used := figure.ProcessorTime()
		if err := writePolicy(directory, 0, "pods", sample.ModulePath(filepath.Dir(directory), 0),
			fmt.Sprint("edition ", n)); err != nil {
			return 0, err
		}
		select {
		case <-served:
		case <-time.After(patience):
			return 0, errors.New("a change was not served")
		}
		took = append(took, figure.ProcessorTime()-used)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
