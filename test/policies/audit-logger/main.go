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

// Command audit-logger is a Kubewarden policy that accepts every
// request, and reports it on every channel of a waPC guest: the
// host capability tracing/log, the console log, standard output,
// standard error, a warning to the user, and an audit annotation.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
)

// event is the payload of tracing/log: a level, a message,
// and any other fields that should appear in the host's log.
type event struct {
	Level     string `json:"level"`
	Message   string `json:"message"`
	UID       string `json:"uid"`
	Operation string `json:"operation"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	User      string `json:"user"`
	DryRun    bool   `json:"dry_run"`
}

func init() { policy.Register(validate) }

// main is never called in a reactor, but the linker needs it.
func main() {}

func validate(request *policy.Request, _ policy.NoSettings) (policy.Response, error) {
	summary := summarise(request)
	response := policy.Accept().WithWarnings("this request is recorded: "+summary).
		WithAuditAnnotation("recorded", summary)

	// A failed log must not stop the cluster. Warn the user instead.
	if err := trace(request, summary); err != nil {
		response = response.WithWarnings("this request could not be traced: " + err.Error())
	}
	policy.ConsoleLog("console: " + summary)
	fmt.Fprintln(os.Stdout, "stdout: "+summary)
	fmt.Fprintln(os.Stderr, "stderr: "+summary)
	return response, nil
}

func trace(request *policy.Request, summary string) error {
	payload, err := json.Marshal(event{
		Level:     "info",
		Message:   summary,
		UID:       request.UID,
		Operation: string(request.Operation),
		Resource:  resource(request),
		Namespace: request.Namespace,
		Name:      request.Name,
		User:      request.UserInfo.Username,
		DryRun:    request.DryRun,
	})
	if err != nil {
		return fmt.Errorf("encode the event: %w", err)
	}
	_, err = policy.HostCall("kubewarden", "tracing", "log", payload)
	return err
}

// summarise returns a request as text, such as "alice:
// CREATE pods shop/web" or "bob: DELETE namespaces shop".
func summarise(request *policy.Request) string {
	name := request.Name
	if name == "" {
		name = "(generated name)"
	}
	if request.Namespace != "" {
		name = request.Namespace + "/" + name
	}
	return fmt.Sprintf("%s: %s %s %s", request.UserInfo.Username, request.Operation,
		resource(request), name)
}

// resource returns the resource as kubectl prints it: deployments.apps/scale.
func resource(request *policy.Request) string {
	var b strings.Builder
	b.WriteString(request.Resource.Resource)
	if request.Resource.Group != "" {
		b.WriteString("." + request.Resource.Group)
	}
	if request.SubResource != "" {
		b.WriteString("/" + request.SubResource)
	}
	return b.String()
}
