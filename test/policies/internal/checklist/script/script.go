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

// Package script is a policy that does what its settings say. The checklist of
// test/conformance tries hosts with it: in execution mode kubewarden-wapc and in wasi.
package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// HostCall asks a capability of the host. An error is in the host's words.
type HostCall func(binding, namespace, operation, payload string) (string, error)

// settings are what is to be done. The first that is set is done, from the top.
type settings struct {
	// Invalid is what is wrong with the settings.
	Invalid string `json:"invalid"`
	// Fail is the text of an error.
	Fail string `json:"fail"`
	// Busy is how long the processor is kept busy before the rest is done.
	Busy string `json:"busy"`
	// Answer is the response as it is.
	Answer json.RawMessage `json:"answer"`
	// Echo refuses with the request as the message.
	Echo bool `json:"echo"`
	// Calls are made of the host, one after the other. The request is refused with what
	// they are answered, in the order of the calls.
	Calls []call `json:"calls"`
	// Replace has, by the names of a request's fields, what takes the place of texts in
	// them. The request with that in place is the mutated object.
	Replace map[string]map[string]string `json:"replace"`
	// Allow has, by the names of a request's fields, the texts that are allowed in them.
	Allow map[string][]string `json:"allow"`
}

type call struct {
	Binding   string          `json:"binding"`
	Namespace string          `json:"namespace"`
	Operation string          `json:"operation"`
	Payload   json.RawMessage `json:"payload"`
}

// response is a ValidationResponse.
type response struct {
	Accepted      bool   `json:"accepted"`
	Message       string `json:"message,omitempty"`
	MutatedObject any    `json:"mutated_object,omitempty"`
}

// ValidateSettings answers the operation of that name.
func ValidateSettings(payload string) (string, error) {
	var s settings
	if err := json.Unmarshal([]byte(payload), &s); err != nil {
		return encode(map[string]any{"valid": false, "message": err.Error()})
	}
	if s.Invalid != "" {
		return encode(map[string]any{"valid": false, "message": s.Invalid})
	}
	return `{"valid":true}`, nil
}

// Validate answers the operation of that name.
func Validate(payload string, host HostCall) (string, error) {
	var review struct {
		Request  json.RawMessage `json:"request"`
		Settings settings        `json:"settings"`
	}
	if err := json.Unmarshal([]byte(payload), &review); err != nil {
		return "", err
	}
	s := review.Settings
	if s.Fail != "" {
		return "", errors.New(s.Fail)
	}
	if err := keepBusy(s.Busy); err != nil {
		return "", err
	}
	switch {
	case s.Answer != nil:
		return string(s.Answer), nil
	case s.Echo:
		return encode(response{Message: string(review.Request)})
	case s.Calls != nil:
		return encode(response{Message: converse(s.Calls, host)})
	case s.Replace != nil:
		return replace(review.Request, s.Replace)
	default:
		return check(review.Request, s.Allow)
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

// converse makes the calls and returns what became of them.
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

func replace(request json.RawMessage, by map[string]map[string]string) (string, error) {
	var fields map[string]any
	if err := json.Unmarshal(request, &fields); err != nil {
		return "", err
	}
	for name, texts := range by {
		text, _ := fields[name].(string)
		if instead, found := texts[text]; found {
			fields[name] = instead
		}
	}
	return encode(response{Accepted: true, MutatedObject: fields})
}

func check(request json.RawMessage, allowed map[string][]string) (string, error) {
	var fields map[string]any
	if err := json.Unmarshal(request, &fields); err != nil {
		return "", err
	}
	for name, texts := range allowed {
		text, _ := fields[name].(string)
		if !slices.Contains(texts, text) {
			return encode(response{Message: fmt.Sprintf("%s %q is not allowed", name, text)})
		}
	}
	return encode(response{Accepted: true})
}

func encode(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}
