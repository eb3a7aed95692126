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

package net_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	capabilitynet "github.com/wasm-admission/wasm-admission/pkg/capabilities/net"
)

// server is a DNS server for A records. It answers that an unknown name does not exist, and waits
// while it is blocked.
type server struct {
	records map[string][][4]byte
	// questions counts the questions for A records.
	questions atomic.Int32
	blocked   sync.RWMutex
}

func (s *server) start(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			question := slices.Clone(buffer[:n])
			go func() {
				if answer, err := s.answer(question); err == nil {
					_, _ = conn.WriteTo(answer, from)
				}
			}()
		}
	}()
	return &net.Resolver{PreferGo: true, StrictErrors: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
		}}
}

func (s *server) answer(question []byte) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(question); err != nil {
		return nil, err
	}
	q := message.Questions[0]
	if q.Type == dnsmessage.TypeA {
		s.questions.Add(1)
	}
	s.blocked.RLock()
	defer s.blocked.RUnlock()
	message.Response = true
	message.Additionals = nil
	addresses, known := s.records[q.Name.String()]
	if !known {
		message.RCode = dnsmessage.RCodeNameError
	}
	for _, address := range addresses {
		if q.Type == dnsmessage.TypeA {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: address},
			})
		}
	}
	return message.Pack()
}

func lookup(ctx context.Context, n *capabilitynet.Net, host string) (string, error) {
	payload, err := json.Marshal(host)
	if err != nil {
		return "", err
	}
	answer, err := n.Call(ctx, &capabilities.Caller{}, "v1/dns_lookup_host", payload)
	return string(answer), err
}

func TestLookup(t *testing.T) {
	s := &server{
		records: map[string][][4]byte{
			"a.example.":    {{192, 0, 2, 1}, {192, 0, 2, 2}},
			"none.example.": {},
		},
	}
	for n := range 70 {
		s.records["many.example."] = append(s.records["many.example."], [4]byte{10, 0, 0, byte(n)})
	}
	n := capabilitynet.New(capabilitynet.Options{Resolver: s.start(t)})
	for _, test := range []struct{ host, answer, err string }{
		{"a.example.", `{"ips":["192.0.2.1","192.0.2.2"]}`, ""},
		{"192.0.2.7", `{"ips":["192.0.2.7"]}`, ""},
		{"none.example.", "", "Callback evaluation failure: lookup none.example."},
		{"unknown.example.", "", "Callback evaluation failure: lookup unknown.example."},
		{"", "", "the payload names no host"},
		{strings.Repeat("a", 255), "",
			"the name of the host has 255 bytes: at most 254 are allowed"},
		{"a\x00b.", "", "Callback evaluation failure: "},
	} {
		t.Run(test.host, func(t *testing.T) {
			answer, err := lookup(t.Context(), n, test.host)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.JSONEq(t, test.answer, answer)
		})
	}

	answer, err := lookup(t.Context(), n, "many.example.")
	require.NoError(t, err)
	require.Equal(t, 64, strings.Count(answer, `"10.`), "addresses are bounded")
}

// Clients may name hosts, so an unknown host does not count against the policy. An invalid name
// does.
func TestHostsThatAreNotFoundAreNoPolicysFault(t *testing.T) {
	n := capabilitynet.New(capabilitynet.Options{Resolver: (&server{}).start(t)})
	shortage := new(*abi.ShortageError)
	_, err := lookup(t.Context(), n, "unknown.example.")
	require.ErrorAs(t, err, shortage)
	_, err = lookup(t.Context(), n, "")
	require.Error(t, err)
	require.NotErrorAs(t, err, shortage)
}

func TestPayloads(t *testing.T) {
	n := capabilitynet.New(capabilitynet.Options{})
	for payload, want := range map[string]string{
		"": "is not the name of a host", "{}": "is not the name of a host",
		`"a" "b"`: "is not the name of a host", "null": "names no host",
		"[]": "is not the name of a host",
	} {
		_, err := n.Call(t.Context(), &capabilities.Caller{}, "v1/dns_lookup_host", []byte(payload))
		require.ErrorContains(t, err, want, payload)
	}
	_, err := n.Call(t.Context(), &capabilities.Caller{}, "v2/dns_lookup_host", []byte(`"a"`))
	require.EqualError(t, err, "unknown operation: v2/dns_lookup_host")
}

func TestAnswersAreKeptForAWhile(t *testing.T) {
	s := &server{records: map[string][][4]byte{"a.example.": {{192, 0, 2, 1}}}}
	clock := clocktesting.NewFakeClock(time.Now())
	n := capabilitynet.New(capabilitynet.Options{
		Resolver:     s.start(t),
		CacheTTL:     time.Minute,
		CacheEntries: 2,
		Clock:        clock,
	})
	ask := func(host string) {
		t.Helper()
		_, err := lookup(t.Context(), n, host)
		require.NoError(t, err)
	}
	ask("a.example.")
	clock.Step(time.Minute - 1)
	ask("a.example.")
	require.EqualValues(t, 1, s.questions.Load())
	clock.Step(1)
	ask("a.example.")
	require.EqualValues(t, 2, s.questions.Load())

	for range 2 {
		_, err := lookup(t.Context(), n, "unknown.example.")
		require.Error(t, err)
	}
	require.EqualValues(t, 4, s.questions.Load(), "failures are not kept")

	ask("192.0.2.7")
	ask("192.0.2.8")
	ask("a.example.")
	require.EqualValues(t, 5, s.questions.Load(), "was pushed out")
}

func TestAnswersAreNobodysButTheCallers(t *testing.T) {
	n := capabilitynet.New(capabilitynet.Options{})
	for range 2 {
		answer, err := n.Call(t.Context(), &capabilities.Caller{}, "v1/dns_lookup_host",
			[]byte(`"192.0.2.7"`))
		require.NoError(t, err)
		require.JSONEq(t, `{"ips":["192.0.2.7"]}`, string(answer))
		clear(answer)
	}
}

// Concurrent callers for the same host share one lookup. A caller that gives up fails alone.
func TestOneQuestionForAll(t *testing.T) {
	s := &server{records: map[string][][4]byte{"a.example.": {{192, 0, 2, 1}}}}
	n := capabilitynet.New(capabilitynet.Options{Resolver: s.start(t)})
	s.blocked.Lock()
	first, giveUp := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := lookup(first, n, "a.example.")
		gone <- err
	}()
	require.Eventually(t, func() bool { return s.questions.Load() == 1 }, 10*time.Second,
		time.Millisecond)
	results := make(chan error)
	for range 10 {
		go func() {
			_, err := lookup(t.Context(), n, "a.example.")
			results <- err
		}()
	}
	giveUp()
	require.ErrorIs(t, <-gone, context.Canceled)
	s.blocked.Unlock()
	for range 10 {
		require.NoError(t, <-results)
	}
	// If the first caller left before the others came, they share a second lookup.
	require.LessOrEqual(t, s.questions.Load(), int32(2))
}

func TestLookupsEndWithTheCall(t *testing.T) {
	s := &server{}
	n := capabilitynet.New(capabilitynet.Options{Resolver: s.start(t)})
	s.blocked.Lock()
	defer s.blocked.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := lookup(ctx, n, "slow.example.")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func ExampleNet() {
	n := capabilitynet.New(capabilitynet.Options{})
	answer, err := n.Call(context.Background(), &capabilities.Caller{}, "v1/dns_lookup_host",
		[]byte(`"192.0.2.1"`))
	fmt.Println(string(answer), err)
	// Output: {"ips":["192.0.2.1"]} <nil>
}
