//go:build !wasip1

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

// Package policytest tests a policy of package policy. It runs the policy natively, where a
// debugger and a coverage profile work, and then in WebAssembly, where the policy must give the
// same answers. Import it in the tests of the policy's own package, whose init function registers
// the policy:
//
//	func TestPolicy(t *testing.T) {
//		p := &policytest.Policy{}
//		response, err := p.Validate(policy.Request{Operation: policy.Create, Object: pod}, Settings{})
//		…
//		t.Run("wasm", p.CheckWasm)
//	}
package policytest

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/wasm-admission/wasm-admission/sdk/go/internal/guest"
	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
)

// Policy is the policy that the package under test registers. Different Policies may be used
// concurrently, but one Policy may not.
type Policy struct {
	// Host answers host calls. The zero value is a host with an empty cluster.
	Host Host
	// Metadata is the file with which CheckWasm annotates the module. Default: metadata.yml.
	Metadata string

	cases []testCase
}

// testCase is a request to the policy and its native answer.
type testCase struct {
	// request is nil if the policy only validated its settings.
	request, settings json.RawMessage
	exchanges         []exchange
	response          policy.Response
	err               error
}

// running is held while a policy runs, because there is only one host.
var running sync.Mutex

// Validate evaluates a request with the policy. request and settings are JSON, as []byte or
// json.RawMessage, or anything that encodes to it: a [policy.Request], and the policy's type of
// settings. An error is a failed evaluation. A panic of the policy is a failed evaluation too.
func (p *Policy) Validate(request, settings any) (policy.Response, error) {
	c := testCase{request: encode(request), settings: encode(settings)}
	answer, err := p.call("validate",
		fmt.Appendf(nil, `{"request":%s,"settings":%s}`, c.request, c.settings), &c)
	if err == nil {
		c.response, err = decodeResponse(answer)
	}
	c.err = err
	p.cases = append(p.cases, c)
	return c.response, err
}

// ValidateSettings returns the error with which the policy rejects settings, or nil.
func (p *Policy) ValidateSettings(settings any) error {
	c := testCase{settings: encode(settings)}
	answer, err := p.call("validate_settings", c.settings, &c)
	if err == nil {
		var verdict struct {
			Valid   bool
			Message string
		}
		if err = json.Unmarshal(answer, &verdict); err == nil && !verdict.Valid {
			err = fmt.Errorf("%s", verdict.Message)
		}
	}
	c.err = err
	p.cases = append(p.cases, c)
	return err
}

func (p *Policy) call(operation string, payload []byte, c *testCase) (answer []byte, err error) {
	running.Lock()
	defer running.Unlock()
	host := func(binding, namespace, operation string, payload []byte) ([]byte, error) {
		if binding != "kubewarden" {
			return nil, fmt.Errorf("unknown binding: %s", binding)
		}
		answer, err := p.Host.call(namespace, operation, payload)
		if err != nil {
			// Hosts add this prefix too.
			err = fmt.Errorf("Callback evaluation failure: %w", err) //nolint:staticcheck // the text that Kubewarden's users know
		}
		c.exchanges = append(c.exchanges,
			exchange{namespace + "/" + operation, payload, answer, err})
		return answer, err
	}
	guest.WithHost(host, func() { answer, err = guest.Call(operation, payload) })
	return answer, err
}

func decodeResponse(answer []byte) (policy.Response, error) {
	var decoded struct {
		policy.Response
		MutatedObject json.RawMessage `json:"mutated_object"`
	}
	if err := json.Unmarshal(answer, &decoded); err != nil {
		return policy.Response{}, fmt.Errorf("decode the policy's response: %w", err)
	}
	decoded.Response.MutatedObject = decoded.MutatedObject
	return decoded.Response, nil
}

// encode returns a value in JSON. It panics if the value cannot be encoded, because a test cannot
// continue then.
func encode(value any) json.RawMessage {
	if text, ok := value.([]byte); ok {
		return text
	}
	return JSON(value)
}

// JSON returns a value in JSON, such as the object of a request. It panics if the value cannot be
// encoded.
func JSON(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}
