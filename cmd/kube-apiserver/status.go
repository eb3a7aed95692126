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
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	utilversion "k8s.io/component-base/version"

	"github.com/wasm-admission/wasm-admission/pkg/assembly/serving"
)

// renewVariable is the environment variable with the interval at which the server's status is
// renewed. It is for tests, and is not a flag, because the flags must match upstream.
const renewVariable = "WASM_ADMISSION_STATUS_INTERVAL"

// leastRenewEvery prevents a typing error from overloading etcd. mostRenewEvery prevents a server
// from looking dead, because no Lease is valid for longer than ten minutes.
const leastRenewEvery, mostRenewEvery = 100 * time.Millisecond, 3 * time.Minute

// statusHook is the name of the hooks that report the status.
const statusHook = "wasm-admission-status"

// tellStatus makes the front server report its status while it serves, and withdraw it before it
// stops. These requests use the private credential, which is marked.
func tellStatus(server *genericapiserver.GenericAPIServer, config genericapiserver.CompletedConfig,
	told *serving.Status) error {
	options, err := statusOptions(config)
	if err != nil {
		return err
	}
	start := func(hook genericapiserver.PostStartHookContext) error {
		client, err := kubernetes.NewForConfig(hook.LoopbackClientConfig)
		if err != nil {
			return err
		}
		options.Leases = client.CoordinationV1()
		go told.Run(hook, options)
		return nil
	}
	if err := server.AddPostStartHook(statusHook, start); err != nil {
		return err
	}
	return server.AddPreShutdownHook(statusHook, told.Stop)
}

// statusOptions identifies the server: by its host name, as its identity Lease does, and by its
// advertised address, because hosts may share a name.
func statusOptions(config genericapiserver.CompletedConfig) (serving.StatusOptions, error) {
	o := serving.StatusOptions{Kubernetes: utilversion.Get().GitVersion}
	var err error
	if o.Host, err = os.Hostname(); err != nil {
		return o, fmt.Errorf("asking for the name of this host: %w", err)
	}
	address, port, err := config.SecureServing.HostPort()
	if err != nil {
		return o, err
	}
	if config.PublicAddress != nil {
		address = config.PublicAddress.String()
	}
	o.Address = net.JoinHostPort(address, strconv.Itoa(port))
	o.RenewEvery, err = renewEvery(os.Getenv(renewVariable))
	return o, err
}

// renewEvery parses the variable. An empty value selects the default.
func renewEvery(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	every, err := time.ParseDuration(text)
	if err != nil || every < leastRenewEvery || every > mostRenewEvery {
		return 0, fmt.Errorf(
			"environment variable %s: %q is not a duration from %s to %s, such as 40s",
			renewVariable, text, leastRenewEvery, mostRenewEvery)
	}
	return every, nil
}
