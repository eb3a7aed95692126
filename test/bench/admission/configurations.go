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
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/bench/policyserver"
)

// mechanism is a way to check requests.
type mechanism struct {
	// counter is the prefix of the server's counters for its checks, and label is part of their
	// labels.
	counter, label string
}

var (
	inProcess = mechanism{counter: "apiserver_wasm_admission_evaluation_duration_seconds_count{"}
	byCEL     = mechanism{counter: "apiserver_validating_admission_policy_check_total{"}
	byWebhook = mechanism{
		"apiserver_admission_webhook_request_total{", `name="` + ourWebhooks + `-`,
	}
	// byPolicyServer is Kubewarden's policy-server.
	byPolicyServer = mechanism{
		"apiserver_admission_webhook_request_total{", `name="` + policyServerWebhooks + `-`,
	}
)

// Prefixes of the webhooks' names.
const ourWebhooks, policyServerWebhooks = "bench", "policy-server"

// configuration is a case in the comparison: a namespace in which a number of policies of one kind
// match.
type configuration struct {
	name      string
	mechanism mechanism
	policies  int
}

// baseline is the path of another build of the server, or empty.
var baseline = os.Getenv("BASELINE")

// configurations are the configurations of each server. The first one has no policies, and is the
// base of the others. Two builds are only compared in process: what a request costs depends on
// everything else that a server holds, and earlier builds have no more than that.
var configurations = allConfigurations(policyserver.Given())

func allConfigurations(withPolicyServer bool) []configuration {
	all := []configuration{
		{name: "none"},
		{"wasm1", inProcess, 1},
		{"wasm10", inProcess, 10},
		{"wasm22", inProcess, 22},
	}
	if baseline != "" {
		return all
	}
	all = append(all,
		configuration{"cel1", byCEL, 1},
		configuration{"cel10", byCEL, 10},
		configuration{"cel22", byCEL, 22},
		configuration{"hook1", byWebhook, 1},
		configuration{"hook10", byWebhook, 10},
		configuration{"hook22", byWebhook, 22},
	)
	if withPolicyServer {
		all = append(all, configuration{"kw1", byPolicyServer, 1},
			configuration{"kw10", byPolicyServer, 10}, configuration{"kw22", byPolicyServer, 22})
	}
	return all
}

// most returns the highest number of policies of a kind.
func most(m mechanism) (n int) {
	for _, c := range configurations {
		if c.mechanism == m {
			n = max(n, c.policies)
		}
	}
	return n
}

// namespaceLabel is a label of namespaces. Its value is the configuration's name.
const namespaceLabel = "bench"

// namespacesOf selects the namespaces in which policy n of a kind matches.
func namespacesOf(m mechanism, n int) *metav1.LabelSelector {
	var names []string
	for _, c := range configurations {
		if c.mechanism == m && n < c.policies {
			names = append(names, c.name)
		}
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: namespaceLabel, Operator: metav1.LabelSelectorOpIn, Values: names},
	}}
}
