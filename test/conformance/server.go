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

package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Server shows an item with the plugin in a kube-apiserver, or with the webhook server behind one.
// The item has its own namespace, which is named after its ID. By default, policies only match this
// namespace, and the first policy is named after the item. In texts, $ROOT is replaced by the
// repository's directory, and $MODULES by the URI of a directory with all modules.
type Server struct {
	// InProcess is the row in docs/webhook.md that explains why only the plugin can show the item.
	InProcess string `json:"inProcess,omitempty"`
	// Policies and Groups are policies in the plugin's configuration.
	Policies []map[string]any `json:"policies,omitempty"`
	Groups   []map[string]any `json:"groups,omitempty"`
	// Manifest is a file in the policy directory.
	Manifest string `json:"manifest,omitempty"`
	// Configuration has further fields of the configuration. The item then has its own server.
	Configuration map[string]any `json:"configuration,omitempty"`
	// Refused are texts in the log of a server that refuses to start with these policies. The item
	// then has its own server and no steps.
	Refused []string `json:"refused,omitempty"`
	// Objects are created before the policies see anything.
	Objects []json.RawMessage `json:"objects,omitempty"`
	// Steps are requests, which are sent in order.
	Steps []Request `json:"steps,omitempty"`
	// Log are texts in the server's log.
	Log []string `json:"log,omitempty"`
}

// Request is a request by an administrator with its expected result. By default, the request must
// be admitted. One of Create, Update and Delete is required.
type Request struct {
	// Create and Update are objects, in the item's namespace.
	Create json.RawMessage `json:"create,omitempty"`
	Update json.RawMessage `json:"update,omitempty"`
	// Delete is the name of a ConfigMap.
	Delete string `json:"delete,omitempty"`
	// Code is the code of the denial.
	Code int32 `json:"code,omitempty"`
	// Message is the message of the denial, and Contains are parts of it.
	Message  string   `json:"message,omitempty"`
	Contains []string `json:"contains,omitempty"`
	// Lacks are texts that the message must not contain.
	Lacks []string `json:"lacks,omitempty"`
	// Causes are the causes of the denial as "field: message", in order. CauseParts are parts of
	// some of the causes.
	Causes     []string `json:"causes,omitempty"`
	CauseParts []string `json:"causeParts,omitempty"`
	// Values are the values at JSON paths in the returned object.
	Values map[string]string `json:"values,omitempty"`
	// Warnings are parts of the warnings, one for each warning.
	Warnings []string `json:"warnings,omitempty"`
	// Verdicts are the policies' verdicts by name: allowed, denied, failed, or empty if the policy
	// was not evaluated.
	Verdicts map[string]string `json:"verdicts,omitempty"`
	// Eventually repeats the request for a while until all expectations are met, because policies
	// may see the cluster with a short delay.
	Eventually bool `json:"eventually,omitempty"`
	// Audit are parts of the audit event's annotations, by name.
	Audit map[string]string `json:"audit,omitempty"`
}

func (s *Server) validate() error {
	switch {
	case len(s.Policies)+len(s.Groups)+len(s.Manifest) == 0:
		return errors.New("policies, groups or a manifest are required")
	case (len(s.Refused) > 0) == (len(s.Steps) > 0):
		return errors.New("either steps or texts of a refusal are required")
	}
	for n, step := range s.Steps {
		if (step.Create != nil) == (step.Update != nil || step.Delete != "") {
			return fmt.Errorf("steps[%d]: one of create, update and delete is required", n)
		}
		if !step.denied() && len(step.Warnings)+len(step.Audit)+len(step.Verdicts) == 0 {
			return fmt.Errorf(
				"steps[%d]: a request that is admitted shows nothing: verdicts, warnings or audit are required",
				n)
		}
	}
	return nil
}

// denied reports whether the request must be denied.
func (r *Request) denied() bool {
	return r.Code != 0 || r.Message != "" || len(r.Contains)+len(r.Causes)+len(r.CauseParts) > 0
}
