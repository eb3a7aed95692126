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

// Server shows an item by the plugin in a kube-apiserver, or by the webhook server behind
// one. The item has a namespace of its
// own, of its id; policies that do not say otherwise are asked about that namespace alone,
// and the first one is called as the item if it has no name. In texts $ROOT stands for the
// repository, and $MODULES for the URI of a directory with all modules.
type Server struct {
	// InProcess is the row of the table in docs/webhook.md because of which the item can be
	// shown by the plugin only.
	InProcess string `json:"inProcess,omitempty"`
	// Policies and Groups are policies of the plugin's configuration.
	Policies []map[string]any `json:"policies,omitempty"`
	Groups   []map[string]any `json:"groups,omitempty"`
	// Manifest is a file in the policy directory.
	Manifest string `json:"manifest,omitempty"`
	// Configuration has further fields of a configuration. The item then has a server of
	// its own.
	Configuration map[string]any `json:"configuration,omitempty"`
	// Refused are texts of the log of a server that does not start with these policies.
	// The item then has a server of its own, and no steps.
	Refused []string `json:"refused,omitempty"`
	// Objects are there before the policies see anything.
	Objects []json.RawMessage `json:"objects,omitempty"`
	// Steps are requests, one after the other.
	Steps []Request `json:"steps,omitempty"`
	// Log are texts of the server's log.
	Log []string `json:"log,omitempty"`
}

// Request is a request of an administrator, and what is expected of it: one that is not
// said to be denied is admitted. One of Create, Update and Delete is required.
type Request struct {
	// Create and Update are objects, in the item's namespace.
	Create json.RawMessage `json:"create,omitempty"`
	Update json.RawMessage `json:"update,omitempty"`
	// Delete is the name of a ConfigMap.
	Delete string `json:"delete,omitempty"`
	// Code is that of the refusal.
	Code int32 `json:"code,omitempty"`
	// Message is that of the refusal, and Contains are parts of it.
	Message  string   `json:"message,omitempty"`
	Contains []string `json:"contains,omitempty"`
	// Lacks are texts that the message does not have.
	Lacks []string `json:"lacks,omitempty"`
	// Causes are those of the refusal, as field: message, in their order, and CauseParts
	// are parts of some of them.
	Causes     []string `json:"causes,omitempty"`
	CauseParts []string `json:"causeParts,omitempty"`
	// Values are what the object that came back has at JSON paths.
	Values map[string]string `json:"values,omitempty"`
	// Warnings are parts of the warnings, each of one; their number counts.
	Warnings []string `json:"warnings,omitempty"`
	// Verdicts are what policies made of it, by their names: allowed, denied or failed, and
	// empty for a policy that was not asked.
	Verdicts map[string]string `json:"verdicts,omitempty"`
	// Eventually has the request sent again for a while until all is as expected: what
	// policies see of the cluster may be a moment old.
	Eventually bool `json:"eventually,omitempty"`
	// Audit are parts of annotations of the audit event, by their names.
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

// denied is whether the request is expected to be.
func (r *Request) denied() bool {
	return r.Code != 0 || r.Message != "" || len(r.Contains)+len(r.Causes)+len(r.CauseParts) > 0
}
