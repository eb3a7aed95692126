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

// Package script is a policy that does what its settings say. The checklist in
// test/conformance tests hosts with it, in execution modes kubewarden-wapc and wasi.
package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// HostCall calls a host capability. An error has the host's text.
type HostCall func(binding, namespace, operation, payload string) (string, error)

// Settings say what to do. Only the first field that is set takes effect.
type Settings struct {
	// Invalid is the problem to report with the settings.
	Invalid string `json:"invalid"`
	// Fail is the text of an error.
	Fail string `json:"fail"`
	// Busy is how long to keep the processor busy before anything else.
	Busy string `json:"busy"`
	// Answer is the verbatim response.
	Answer json.RawMessage `json:"answer"`
	// Echo denies the request with the request as the message.
	Echo bool `json:"echo"`
	// Calls are host calls to make, in order. The request
	// is denied with their answers, in the same order.
	Calls []call `json:"calls"`
	// Replace has replacements for texts, by the names of a request's
	// fields. The request with the replacements is the mutated object.
	Replace map[string]map[string]string `json:"replace"`
	// Allow has the allowed texts, by the names of a request's fields.
	Allow map[string][]string `json:"allow"`
}

type call struct {
	Binding   string          `json:"binding"`
	Namespace string          `json:"namespace"`
	Operation string          `json:"operation"`
	Payload   json.RawMessage `json:"payload"`
}

// Response is the response of the policy.
type Response struct {
	Accepted bool   `json:"accepted"`
	Message  string `json:"message,omitempty"`
	// MutatedObject is nil unless the object changes.
	MutatedObject any `json:"mutated_object,omitempty"`
	// Answer, if set, replaces all of the above.
	Answer json.RawMessage `json:"-"`
}

// Validate returns the problem with the settings, if any.
func (s Settings) Validate() error {
	if s.Invalid != "" {
		return errors.New(s.Invalid)
	}
	return nil
}

// Evaluate does what the settings say.
func (s Settings) Evaluate(request json.RawMessage, host HostCall) (Response, error) {
	if s.Fail != "" {
		return Response{}, errors.New(s.Fail)
	}
	if err := keepBusy(s.Busy); err != nil {
		return Response{}, err
	}
	switch {
	case s.Answer != nil:
		return Response{Answer: s.Answer}, nil
	case s.Echo:
		return Response{Message: string(request)}, nil
	case s.Calls != nil:
		return Response{Message: converse(s.Calls, host)}, nil
	case s.Replace != nil:
		return replace(request, s.Replace)
	default:
		return check(request, s.Allow)
	}
}

func keepBusy(text string) error {
	if text == "" {
		return nil
	}
	duration, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	for end := time.Now().Add(duration); time.Now().Before(end); {
	}
	return nil
}

// converse makes the calls and returns their outcomes.
func converse(calls []call, host HostCall) string {
	var answers []string
	for _, c := range calls {
		answer, err := host(c.Binding, c.Namespace, c.Operation, string(c.Payload))
		if err != nil {
			answers = append(answers, "error: "+err.Error())
		} else {
			answers = append(answers, "answer: "+answer)
		}
	}
	return strings.Join(answers, "; ")
}

func replace(request json.RawMessage, by map[string]map[string]string) (Response, error) {
	var fields map[string]any
	if err := json.Unmarshal(request, &fields); err != nil {
		return Response{}, err
	}
	for name, texts := range by {
		text, _ := fields[name].(string)
		if instead, found := texts[text]; found {
			fields[name] = instead
		}
	}
	return Response{Accepted: true, MutatedObject: fields}, nil
}

func check(request json.RawMessage, allowed map[string][]string) (Response, error) {
	var fields map[string]any
	if err := json.Unmarshal(request, &fields); err != nil {
		return Response{}, err
	}
	for name, texts := range allowed {
		text, _ := fields[name].(string)
		if !slices.Contains(texts, text) {
			return Response{Message: fmt.Sprintf("%s %q is not allowed", name, text)}, nil
		}
	}
	return Response{Accepted: true}, nil
}
