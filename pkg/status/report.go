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

// Package status publishes which policies each server of a cluster serves, in Leases that kubectl
// lists, and judges from them whether all servers serve the same.
//
// A status is only information and never enforces anything: anyone who may write Leases in its
// namespace can forge one. So the package treats everything that it reads as hostile.
package status

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// State is the state of a server with respect to its configuration.
type State string

// The states.
const (
	// StateRunning means that the server serves the configured policies.
	StateRunning State = "running"
	// StateRefused means that the configured policies cannot be loaded, and the previous ones are
	// served.
	StateRefused State = "refused"
	// StateUnknown means that the server does not report. No server reports this state itself.
	StateUnknown State = "unknown"
)

// States are all states.
var States = []State{StateRunning, StateRefused, StateUnknown}

// Bounds of a report. What exceeds them is left out and counted.
const (
	maxPoliciesBytes = 8 << 10
	maxFailures      = 8
	maxLineBytes     = 500
	maxNameBytes     = 253
	// maxReportBytes bounds the size of a report that is read. No report that is written comes near
	// it.
	maxReportBytes = 64 << 10
)

// Report is the report of a server about itself.
type Report struct {
	// Instance is a random name of the process.
	Instance string `json:"instance"`
	// Host is the name of the host, and Address is where the server serves, as host:port.
	Host    string `json:"host"`
	Address string `json:"address"`
	State   State  `json:"state"`
	// Running and Desired are the hashes of the policies that are served and of those that are
	// configured, in hexadecimal digits. Desired is "unknown" if they cannot be read.
	Running string `json:"running"`
	Desired string `json:"desired"`
	// Configuration is the hash of the configuration apart from policies. The server reads it when
	// it starts.
	Configuration string `json:"configuration"`
	// Since is when the running policies began to be served. FailedSince is since when the
	// configured policies cannot be loaded, or nil if they are running. Both are by the server's
	// clock.
	Since       time.Time  `json:"since"`
	FailedSince *time.Time `json:"failedSince,omitempty"`
	// Policies are the policies that are served, sorted by name, up to a limit. PolicyCount is the
	// number of all.
	Policies    []Policy `json:"policies,omitempty"`
	PolicyCount int      `json:"policyCount"`
	// Failures are lines that say what is wrong, up to a limit. FailureCount is the number of all.
	Failures     []string `json:"failures,omitempty"`
	FailureCount int      `json:"failureCount,omitempty"`
	// Version is the version of the plugin, and Kubernetes that of the server.
	Version    string `json:"version"`
	Kubernetes string `json:"kubernetes,omitempty"`
}

// Policy is a policy or policy group that is served.
type Policy struct {
	Name string `json:"name"`
	// Mode is protect or monitor.
	Mode string `json:"mode"`
	// Digest is the digest of the module, as "sha256:" and 64 hexadecimal digits.
	Digest string `json:"digest"`
}

// bound makes the report safe to write or show: short, valid UTF-8, each text one line without
// control characters. It leaves out what exceeds the limits.
func (r *Report) bound() {
	for _, text := range []*string{
		&r.Instance, &r.Host, &r.Address, &r.Running, &r.Desired, &r.Configuration, &r.Version,
		&r.Kubernetes,
	} {
		*text = line(*text, maxNameBytes)
	}
	if r.State != StateRefused {
		r.State = StateRunning
	}
	r.PolicyCount = max(r.PolicyCount, len(r.Policies))
	room, kept := maxPoliciesBytes, make([]Policy, 0, min(len(r.Policies), 128))
	for _, p := range r.Policies {
		p = Policy{
			line(p.Name, maxNameBytes),
			line(p.Mode, maxNameBytes),
			line(p.Digest, maxNameBytes),
		}
		text, err := json.Marshal(p)
		if room -= len(text) + 1; err != nil || room < 0 {
			break
		}
		kept = append(kept, p)
	}
	r.Policies = kept
	r.FailureCount = max(r.FailureCount, len(r.Failures))
	lines := make([]string, 0, maxFailures)
	for _, failure := range r.Failures[:min(len(r.Failures), maxFailures)] {
		lines = append(lines, line(failure, maxLineBytes))
	}
	r.Failures = lines
}

// line returns a text as one line of at most the given number of bytes.
func line(text string, most int) string {
	cut := len(text) > most
	if cut {
		// Cut first: the rest costs time in proportion to the length.
		text = text[:most]
	}
	text = strings.ToValidUTF8(text, "�")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, text)
	if len(text) <= most && !cut {
		return text
	}
	const more = "…"
	for len(text) > most-len(more) {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text + more
}

// Short returns the beginning of a hash, for people and labels.
func Short(hash string) string { return hash[:min(len(hash), 8)] }
