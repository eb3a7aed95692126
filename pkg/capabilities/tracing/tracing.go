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

// Package tracing writes the output of policies to the process log: the lines they print, and the
// events they send through the host capability tracing/log.
package tracing

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/time/rate"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// Log is the log of one policy. It limits the rate, so that a policy cannot flood the process log.
// It counts and drops lines over the rate, and the next line that passes reports their number. It
// implements [abi.Log] and the capability of namespace tracing. It is safe for concurrent use.
type Log struct {
	policy    string
	lineBytes int
	limiter   *rate.Limiter
	dropped   atomic.Int64
}

var (
	_ abi.Log                 = &Log{}
	_ capabilities.Capability = &Log{}
)

// NewLog returns the log of a policy. It passes linesPerSecond, with a burst of the same number,
// and keeps lineBytes of each line.
func NewLog(policy string, linesPerSecond, lineBytes int) *Log {
	return &Log{
		policy:    policy,
		lineBytes: lineBytes,
		limiter:   rate.NewLimiter(rate.Limit(linesPerSecond), linesPerSecond),
	}
}

// Line implements [abi.Log]. It logs lines at info, as Kubewarden does, and lines of standard error
// as warnings.
func (l *Log) Line(ctx context.Context, source, text string) {
	level := "info"
	if source == "stderr" {
		level = "warning"
	}
	l.write(ctx, level, text, "source", source)
}

// Call answers the host capability tracing/log. It reports no log failures to the guest, because a
// policy's verdict must not depend on its log.
func (l *Log) Call(ctx context.Context, _ *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
	if operation != "log" {
		return nil, fmt.Errorf("unknown operation: %s", operation)
	}
	event, err := decodeEvent(payload)
	if err != nil {
		l.write(ctx, "warning", "Policy sent a log event that cannot be read", "err", err.Error())
		return nil, nil
	}
	l.write(ctx, event.level, event.message, "data", l.truncate(event.data))
	return nil, nil
}

// write logs one event. Text from the guest appears only in values, which the log's format quotes.
func (l *Log) write(ctx context.Context, level, text string, keysAndValues ...any) {
	if !l.limiter.Allow() {
		l.dropped.Add(1)
		return
	}
	logger := klog.FromContext(ctx)
	keysAndValues = append([]any{"policy", l.policy, "level", level, "text", l.truncate(text)},
		keysAndValues...)
	if dropped := l.dropped.Swap(0); dropped > 0 {
		keysAndValues = append(keysAndValues, "droppedBefore", dropped)
	}
	switch level {
	case "error":
		logger.Error(nil, "Policy log", keysAndValues...)
	case "debug":
		logger.V(4).Info("Policy log", keysAndValues...)
	case "trace":
		logger.V(6).Info("Policy log", keysAndValues...)
	default:
		logger.Info("Policy log", keysAndValues...)
	}
}

func (l *Log) truncate(text string) string {
	if len(text) <= l.lineBytes {
		return text
	}
	return strings.ToValidUTF8(text[:l.lineBytes], "") + "…"
}

// event is the payload of tracing/log: a level, a message, and further fields from the guest's
// logger.
type event struct {
	level, message, data string
}

var levels = map[string]bool{
	"trace":   true,
	"debug":   true,
	"info":    true,
	"warning": true,
	"error":   true,
}

func decodeEvent(payload []byte) (event, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil {
		return event{}, err
	}
	var e event
	if err := json.Unmarshal(fields["level"], &e.level); err != nil {
		return event{}, fmt.Errorf("level: %w", err)
	}
	if e.level = strings.ToLower(e.level); !levels[e.level] {
		return event{}, fmt.Errorf(
			"level: %q is none of trace, debug, info, warning, error", e.level)
	}
	if message := fields["message"]; message != nil {
		if err := json.Unmarshal(message, &e.message); err != nil {
			return event{}, fmt.Errorf("message: %w", err)
		}
	}
	delete(fields, "level")
	delete(fields, "message")
	data, err := json.Marshal(fields)
	if err != nil {
		return event{}, err
	}
	e.data = string(data)
	return e, nil
}
