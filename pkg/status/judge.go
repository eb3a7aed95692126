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

package status

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// Seen is a Lease as somebody who looks again and again has seen it.
type Seen struct {
	Lease *coordinationv1.Lease
	// Unchanged is how long its renewTime has been the same, by the clock of who looks. No
	// clock of another machine has a say in it.
	Unchanged time.Duration
}

// stale is whether the server behind a Lease has stopped renewing it.
func (s *Seen) stale(after time.Duration) bool { return s.Unchanged > after }

// Server is a line of a table.
type Server struct {
	// Lease is the name of the server's Lease: of its identity Lease if it has no status.
	Lease string `json:"lease"`
	// State is what to make of the server.
	State State `json:"state"`
	// Reason says why the state is unknown.
	Reason string `json:"reason,omitempty"`
	// SecondsUnchanged is how long no renewal of the Lease was seen.
	SecondsUnchanged int64 `json:"secondsUnchanged"`
	// Report is what the server said last; nil if that is not known.
	Report *Report `json:"report,omitempty"`
}

// Name returns what people call the server by.
func (s *Server) Name() string {
	if s.Report == nil {
		return line(s.Lease, maxNameBytes)
	}
	return cmp.Or(s.Report.Host, line(s.Lease, maxNameBytes))
}

// Table is what is known of all servers of a cluster.
type Table struct {
	// Servers are in the order of their names.
	Servers []Server `json:"servers"`
	// RunningSets is how many different sets of policies are served, and Configurations how
	// many different configurations beside policies there are, unknown servers apart.
	RunningSets    int `json:"runningSets"`
	Configurations int `json:"configurations"`
	// Skew says in words how servers differ; "" if they do not.
	Skew string `json:"skew,omitempty"`
}

// Count returns how many servers have a state.
func (t *Table) Count(state State) int {
	count := 0
	for n := range t.Servers {
		if t.Servers[n].State == state {
			count++
		}
	}
	return count
}

// Judge makes a table of what Leases tell: those of status, and the identity Leases, which
// say what apiservers there are. An apiserver without a status is unknown: it runs no policies,
// or cannot write.
func Judge(statuses, identities []Seen) *Table {
	t := &Table{Servers: []Server{}}
	statuses, identities = t.bound(statuses, Label), t.bound(identities, identityLabel)
	hosts := map[string]bool{}
	for _, seen := range statuses {
		if !isStatus(seen.Lease) {
			continue
		}
		s := Server{Lease: seen.Lease.Name, SecondsUnchanged: int64(seen.Unchanged / time.Second)}
		report, err := Decode(seen.Lease)
		switch {
		case err != nil:
			s.State, s.Reason = StateUnknown, "the Lease cannot be read: "+err.Error()
		case seen.stale(durationOf(seen.Lease)):
			s.State, s.Reason = StateUnknown,
				"the Lease is not renewed: the server has ended without removing it, or cannot write"
		default:
			s.State = report.State
		}
		if s.Report = report; report != nil {
			hosts[report.Host] = true
		}
		t.Servers = append(t.Servers, s)
	}
	for _, seen := range identities {
		host := line(seen.Lease.Labels[hostLabel], maxNameBytes)
		// A server that has ended leaves its identity Lease for hours.
		if hosts[host] || seen.stale(renewalsADuration*DefaultRenewEvery) {
			continue
		}
		t.Servers = append(t.Servers, Server{
			Lease: seen.Lease.Name, State: StateUnknown,
			SecondsUnchanged: int64(seen.Unchanged / time.Second),
			Reason: "apiserver " + host +
				" has no status: it runs without the plugin or its feature gate, or cannot write",
		})
	}
	slices.SortFunc(t.Servers, func(a, b Server) int {
		return cmp.Or(cmp.Compare(a.Name(), b.Name()), cmp.Compare(a.Lease, b.Lease))
	})
	t.compare()
	return t
}

// bound returns as many Leases as are looked at. If there are more, then there may be servers
// among them, which are unknown: whoever may write Leases must not be able to hide a server
// behind names that come first.
func (t *Table) bound(seen []Seen, label string) []Seen {
	if len(seen) <= maxLeases {
		return seen
	}
	t.Servers = append(t.Servers, Server{
		Lease: moreName, State: StateUnknown,
		Reason: fmt.Sprintf(
			"more than %d Leases have the label %s, and only those are looked at that come first: remove those of no server",
			maxLeases, label),
	})
	return seen[:maxLeases]
}

// moreName is shown for servers whose Leases are not looked at. No Lease has such a name.
const moreName = "(more)"

// compare finds what servers differ in.
func (t *Table) compare() {
	running, configurations := map[string]bool{}, map[string]bool{}
	for n := range t.Servers {
		if s := &t.Servers[n]; s.State != StateUnknown {
			running[s.Report.Running], configurations[s.Report.Configuration] = true, true
		}
	}
	t.RunningSets, t.Configurations = len(running), len(configurations)
	switch {
	case len(running) > 1:
		t.Skew = fmt.Sprintf("servers run %d different sets of policies", len(running))
	case len(configurations) > 1:
		t.Skew =
			fmt.Sprintf(
				"servers run the same policies with %d different configurations of all else, such as limits and exemptions",
				len(configurations))
	}
}
