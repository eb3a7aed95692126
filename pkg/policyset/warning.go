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

package policyset

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/klog/v2"
)

// Warning is what an administrator should know of policies that can be served.
type Warning struct {
	// Kind says how much it matters.
	Kind WarningKind
	// Policy is the name of the policy that it is about; "" if the text says what it is about.
	Policy string
	// Text is what is to be known, in a line.
	Text string
	// Details are names, and values behind each, that a log has beside the text.
	Details []any
}

// WarningKind says how much a warning matters. The set is closed.
type WarningKind int

// The kinds.
const (
	// Probable is what is probably not meant.
	Probable WarningKind = iota
	// Notice is what a module would like and does not get, which may be meant.
	Notice
	// Alarm is what leaves a server without any policy.
	Alarm
)

// String is the warning in a line of its own.
func (w Warning) String() string {
	if w.Policy == "" {
		return w.Text
	}
	return fmt.Sprintf("policies[%s]: %s", w.Policy, w.Text)
}

var errNoPolicy = errors.New("no policy is configured")

// Tell hands the warning on; nil has the logger of the context told.
func (w Warning) Tell(ctx context.Context, to func(Warning)) {
	if to != nil {
		to(w)
		return
	}
	details := w.Details
	if w.Policy != "" {
		details = append([]any{"policy", w.Policy}, details...)
	}
	switch w.Kind {
	case Notice:
		klog.FromContext(ctx).Info(w.Text, details...)
	case Alarm:
		klog.FromContext(ctx).Error(errNoPolicy, "Warning: "+w.Text, details...)
	default:
		klog.FromContext(ctx).Info("Warning: "+w.Text, details...)
	}
}
