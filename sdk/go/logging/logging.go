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

// Package logging sends the records of a policy's log/slog loggers to the host's log, which adds
// the policy's name. It makes a module 0.4 MB larger than policy.Log does.
package logging

import (
	"log/slog"
	"strings"

	"github.com/wasm-admission/wasm-admission/sdk/go/internal/guest"
)

// LevelTrace is below slog.LevelDebug. The other levels are those of slog.
const LevelTrace = slog.LevelDebug - 4

// New returns a logger that sends records at or above a level to the host. The host decides which
// of them it keeps. Attributes become fields. Each record is a host call. A record whose call fails
// is dropped, because a failing log should not reject a request.
func New(level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(host{},
		&slog.HandlerOptions{Level: level, ReplaceAttr: rename}))
}

// rename renames the attributes that slog adds to the names that hosts know, and drops the time,
// because the host has its own clock.
func rename(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.Attr{}
	case slog.MessageKey:
		a.Key = "message"
	case slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok {
			a.Value = slog.StringValue(name(level))
		}
	}
	return a
}

func name(level slog.Level) string {
	switch {
	case level < slog.LevelDebug:
		return "trace"
	case level < slog.LevelInfo:
		return "debug"
	case level < slog.LevelWarn:
		return "info"
	case level < slog.LevelError:
		return "warning"
	}
	return "error"
}

// host writes records in JSON, one for each call of Write.
type host struct{}

func (host) Write(record []byte) (int, error) {
	_, err := guest.HostCall("kubewarden", "tracing", "log",
		[]byte(strings.TrimSpace(string(record))))
	return len(record), err
}
