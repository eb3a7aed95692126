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
	"os"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/tools/cache"
	utilversion "k8s.io/component-base/version"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"github.com/wasm-admission/wasm-admission/pkg/assembly/serving"
	"github.com/wasm-admission/wasm-admission/pkg/loopback"
)

// runServer builds the chain of API servers and serves until ctx ends. It repeats the steps of
// app.Run to extend the front server, which receives all requests and answers /readyz. The front
// server marks its own requests, includes the plugin's checks, and reports the plugin's status.
func runServer(ctx context.Context, opts options.CompletedOptions, readyz []healthz.HealthChecker,
	told *serving.Status) error {
	klog.InfoS("Starting kube-apiserver", "version", utilversion.Get())
	klog.InfoS("Golang settings", "GOGC", os.Getenv("GOGC"), "GOMAXPROCS", os.Getenv("GOMAXPROCS"),
		"GOTRACEBACK", os.Getenv("GOTRACEBACK"))

	if opts.InformerName == nil {
		name, err := cache.NewInformerName("kube-apiserver")
		if err != nil {
			return err
		}
		opts.InformerName = name
	}
	config, err := app.NewConfig(opts)
	if err != nil {
		return err
	}
	completed, err := config.Complete()
	if err != nil {
		return err
	}
	markOwnRequests(completed.Aggregator.GenericConfig)
	server, err := app.CreateServerChain(completed)
	if err != nil {
		return err
	}
	if err := server.GenericAPIServer.AddReadyzChecks(readyz...); err != nil {
		return err
	}
	err = tellStatus(server.GenericAPIServer, completed.Aggregator.GenericConfig, told)
	if err != nil {
		return err
	}
	prepared, err := server.PrepareRun()
	if err != nil {
		return err
	}
	return prepared.Run(ctx)
}

// markOwnRequests makes the front server mark the requests that the apiserver sends to itself. Its
// handlers also serve the servers behind it. The configuration must be completed, because
// completion adds the authenticator of the private credential.
func markOwnRequests(front genericapiserver.CompletedConfig) {
	front.Authentication.Authenticator = loopback.Authenticator(front.Authentication.Authenticator,
		front.LoopbackClientConfig.BearerToken)
}
