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

// Package net implements the host capability net: it looks up the addresses of hosts for policies.
package net

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/internal/cache"
)

const (
	// maxHostBytes is the length of the longest DNS name, including the final dot.
	maxHostBytes = 254
	// maxAddresses bounds the addresses returned and cached for one host.
	maxAddresses = 64
	// maxLookupTime bounds one lookup, even if many callers wait for it.
	maxLookupTime = 10 * time.Second
	// maxLookups bounds the number of concurrent lookups.
	maxLookups = 64
)

// Defaults of [Options].
const (
	defaultCacheEntries = 1000
	defaultCacheTTL     = 30 * time.Second
)

// Options are the dependencies and limits of the capability.
type Options struct {
	// Resolver resolves hosts. Nil is the resolver of the process.
	Resolver *net.Resolver
	// CacheEntries is the number of hosts whose addresses are cached. The default for 0 is 1000.
	CacheEntries int
	// CacheTTL is how long cached addresses are valid. The default for 0 is 30 s.
	CacheTTL time.Duration
	// Clock measures CacheTTL. Nil is the real clock.
	Clock clock.PassiveClock
}

// Net answers the host calls of namespace net. It is safe for concurrent use.
type Net struct {
	resolver *net.Resolver
	// answers caches encoded answers by host.
	answers *cache.Cache[string, []byte]
	// lookups has an element for each running lookup.
	lookups chan struct{}
}

var _ capabilities.Capability = &Net{}

// New returns the capability.
func New(options Options) *Net {
	n := &Net{resolver: options.Resolver, lookups: make(chan struct{}, maxLookups)}
	if n.resolver == nil {
		n.resolver = net.DefaultResolver
	}
	if options.CacheEntries == 0 {
		options.CacheEntries = defaultCacheEntries
	}
	if options.CacheTTL == 0 {
		options.CacheTTL = defaultCacheTTL
	}
	n.answers = cache.New(cache.Options[string, []byte]{
		Entries: options.CacheEntries,
		TTL:     options.CacheTTL,
		Clock:   options.Clock,
	})
	return n
}

// Call implements [capabilities.Capability].
func (n *Net) Call(ctx context.Context, _ *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
	if operation != "v1/dns_lookup_host" {
		return nil, fmt.Errorf("unknown operation: %s", operation)
	}
	var host *string
	if err := json.Unmarshal(payload, &host); err != nil {
		return nil, fmt.Errorf("the payload is not the name of a host as a JSON string: %w", err)
	}
	if host == nil || *host == "" {
		return nil, errors.New("the payload names no host")
	}
	if len(*host) > maxHostBytes {
		return nil, fmt.Errorf("the name of the host has %d bytes: at most %d are allowed",
			len(*host), maxHostBytes)
	}
	answer, err := n.answers.Get(ctx, *host, func(ctx context.Context) ([]byte, error) {
		return n.lookup(ctx, *host)
	})
	if err != nil {
		// A client may have named the host, so the policy is not to blame if it does not exist.
		return nil, &capabilities.FailedError{Err: &abi.ShortageError{Err: err}}
	}
	// The code that handles host calls may modify the answer.
	return slices.Clone(answer), nil
}

// lookup looks up the addresses of a host, in the order in which to use them.
func (n *Net) lookup(ctx context.Context, host string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, maxLookupTime)
	defer cancel()
	select {
	case n.lookups <- struct{}{}:
		defer func() { <-n.lookups }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to look up a host: %w", ctx.Err())
	}
	addresses, err := n.resolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		IPs []string `json:"ips"`
	}{addresses[:min(len(addresses), maxAddresses)]})
}
