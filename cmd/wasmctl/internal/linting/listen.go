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

package linting

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

// warningPrefix is what the lines of a server's log begin with that warn its administrator,
// and noticePrefixes are those that tell what a policy would like and does not get.
const warningPrefix = "Warning: "

var noticePrefixes = []string{"Policy can mutate", "Policy would like"}

// listen returns a context whose logger hands on what it gets, and from which warnings go
// to the report.
func (l *linter) listen(ctx context.Context) context.Context {
	return klog.NewContext(ctx, logr.New(&listener{LogSink: klog.FromContext(ctx).GetSink(), report: l.report, mu: &sync.Mutex{}}))
}

type listener struct {
	logr.LogSink
	report *Report
	mu     *sync.Mutex
}

// Enabled implements [logr.LogSink].
func (l *listener) Enabled(int) bool { return true }

// Info implements [logr.LogSink].
func (l *listener) Info(level int, message string, keysAndValues ...any) {
	if text, isWarning := strings.CutPrefix(message, warningPrefix); isWarning {
		l.add(text)
	}
	for _, prefix := range noticePrefixes {
		if strings.HasPrefix(message, prefix) && len(keysAndValues) > 1 {
			l.add(fmt.Sprintf("policies[%v]: %s", keysAndValues[1], message))
		}
	}
	if l.LogSink.Enabled(level) {
		l.LogSink.Info(level, message, keysAndValues...)
	}
}

// Error implements [logr.LogSink]. What has no policies is served without an error.
func (l *listener) Error(err error, message string, keysAndValues ...any) {
	if text, isWarning := strings.CutPrefix(message, warningPrefix); isWarning {
		l.add(text)
		return
	}
	l.LogSink.Error(err, message, keysAndValues...)
}

func (l *listener) add(warning string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Warnings = append(l.report.Warnings, warning)
}

// WithValues implements [logr.LogSink].
func (l *listener) WithValues(keysAndValues ...any) logr.LogSink {
	return &listener{LogSink: l.LogSink.WithValues(keysAndValues...), report: l.report, mu: l.mu}
}

// WithName implements [logr.LogSink].
func (l *listener) WithName(name string) logr.LogSink {
	return &listener{LogSink: l.LogSink.WithName(name), report: l.report, mu: l.mu}
}
