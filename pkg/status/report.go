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

// Package status tells, through Leases that kubectl lists, which policies each server of a
// cluster serves, and judges from them whether all serve the same.
//
// A status is information and never enforcement: whoever may write Leases in its namespace
// can forge one. What is read is therefore taken for hostile.
package status

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A State is how what a server serves stands to what is configured.
type State string

// The states.
const (
	// StateRunning says that the server serves what is configured.
	StateRunning State = "running"
	// StateRefused says that what is configured cannot be loaded: the set before is served.
	StateRefused State = "refused"
	// StateUnknown says that the server does not tell. No server says it of itself.
	StateUnknown State = "unknown"
)

// States are all states.
var States = []State{StateRunning, StateRefused, StateUnknown}

// What a report may hold. More of it is left out and counted.
const (
	maxPoliciesBytes = 8 << 10
	maxFailures      = 8
	maxLineBytes     = 500
	maxNameBytes     = 253
	// maxReportBytes bounds what is read. No report that is written comes near it.
	maxReportBytes = 64 << 10
)

// Report is what a server says of itself.
type Report struct {
	// Instance is a random name of the process.
	Instance string `json:"instance"`
	// Host is the host's name, and Address is where the server serves, as host:port.
	Host    string `json:"host"`
	Address string `json:"address"`
	State   State  `json:"state"`
	// Running and Desired are the hashes of the policies that are served and of those that
	// are configured, in hexadecimal digits. Desired is "unknown" if they cannot be read.
	Running string `json:"running"`
	Desired string `json:"desired"`
	// Configuration is the hash of all that is configured beside policies. It is read when
	// the server starts.
	Configuration string `json:"configuration"`
	// Since is since when the running policies are served, and FailedSince since when those
	// that are configured cannot be loaded; nil if they are running. Both are by the
	// server's own clock.
	Since       time.Time  `json:"since"`
	FailedSince *time.Time `json:"failedSince,omitempty"`
	// Policies are those that are served, in the order of their names, as far as there is
	// room. PolicyCount is how many there are.
	Policies    []Policy `json:"policies,omitempty"`
	PolicyCount int      `json:"policyCount"`
	// Failures are lines that say what is wrong, and FailureCount is how many there are.
	Failures     []string `json:"failures,omitempty"`
	FailureCount int      `json:"failureCount,omitempty"`
	// Version is that of the plugin, and Kubernetes that of the server.
	Version    string `json:"version"`
	Kubernetes string `json:"kubernetes,omitempty"`
}

// Policy is a policy or policy group that is served.
type Policy struct {
	Name string `json:"name"`
	// Mode is protect or monitor.
	Mode string `json:"mode"`
	// Digest is that of the module, as "sha256:" and 64 hexadecimal digits.
	Digest string `json:"digest"`
}

// bound makes the report one that may be written or shown: short, valid UTF-8, each text
// one line without control characters. It leaves out what is too much.
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

// line returns a text as one line of at most so many bytes.
func line(text string, most int) string {
	cut := len(text) > most
	if cut {
		// Before anything that costs by its length.
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
