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

// Package traces tests the traces of a server's requests.
package traces

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// Span is a received span.
type Span struct {
	Trace, ID, Parent string // Parent is empty in a trace's root span.
	Name              string
	Start, End        time.Time
	Attributes        map[string]string
	// Status is the error message of the span.
	Status string
	// Links are the traces that the span links to.
	Links []string
}

// Receiver receives spans with OTLP over gRPC. It is safe for concurrent use.
type Receiver struct {
	collector.UnimplementedTraceServiceServer
	// Address is the address that it listens on.
	Address string

	server *grpc.Server
	mu     sync.Mutex
	spans  []Span
	news   chan struct{} // closed when more spans have arrived
}

// Receive returns a receiver on a loopback port. The caller must close it.
func Receive(ctx context.Context) (*Receiver, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Receiver{
		Address: listener.Addr().String(),
		server:  grpc.NewServer(),
		news:    make(chan struct{}),
	}
	collector.RegisterTraceServiceServer(r.server, r)
	go func() { _ = r.server.Serve(listener) }() // until Close
	return r, nil
}

// Close stops the receiver.
func (r *Receiver) Close() { r.server.Stop() }

// Export implements the OTLP trace service.
func (r *Receiver) Export(_ context.Context,
	request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				r.spans = append(r.spans, read(span))
			}
		}
	}
	close(r.news)
	r.news = make(chan struct{})
	return &collector.ExportTraceServiceResponse{}, nil
}

func read(s *trace.Span) Span {
	span := Span{
		Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
		Parent: hex.EncodeToString(s.GetParentSpanId()), Name: s.GetName(),
		Start:      time.Unix(0, int64(s.GetStartTimeUnixNano())),
		End:        time.Unix(0, int64(s.GetEndTimeUnixNano())),
		Attributes: map[string]string{}, Status: s.GetStatus().GetMessage(),
	}
	for _, attribute := range s.GetAttributes() {
		span.Attributes[attribute.GetKey()] = text(attribute.GetValue())
	}
	for _, link := range s.GetLinks() {
		span.Links = append(span.Links, hex.EncodeToString(link.GetTraceId()))
	}
	return span
}

func text(value *common.AnyValue) string {
	switch v := value.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10)
	case *common.AnyValue_DoubleValue:
		return strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
	}
	return strings.TrimSpace(fmt.Sprint(value.GetBoolValue()))
}

// Request waits for the span of the request with an audit ID, and returns the spans of its trace in
// the order of their start times. Spans are sent when they end, so the span of the request arrives
// last.
func (r *Receiver) Request(ctx context.Context, auditID string) ([]Span, error) {
	return r.wait(ctx, func(s Span) bool { return s.Attributes["audit-id"] == auditID })
}

// Trace waits for the root span of a trace, and returns the spans of the trace.
func (r *Receiver) Trace(ctx context.Context, id string) ([]Span, error) {
	return r.wait(ctx, func(s Span) bool { return s.Trace == id && s.Parent == "" })
}

func (r *Receiver) wait(ctx context.Context, is func(Span) bool) ([]Span, error) {
	for {
		r.mu.Lock()
		news := r.news
		var trace []Span
		if n := slices.IndexFunc(r.spans, is); n >= 0 {
			for _, span := range r.spans {
				if span.Trace == r.spans[n].Trace {
					trace = append(trace, span)
				}
			}
		}
		r.mu.Unlock()
		if trace != nil {
			slices.SortStableFunc(trace, func(a, b Span) int { return a.Start.Compare(b.Start) })
			return trace, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a trace: %w", ctx.Err())
		}
	}
}
