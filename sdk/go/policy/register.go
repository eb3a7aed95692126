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

package policy

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wasm-admission/wasm-admission/sdk/go/internal/guest"
	"github.com/wasm-admission/wasm-admission/sdk/go/internal/jsontext"
)

// Register registers a function as the policy of the module. Call it once, from an init function.
// It panics if called again.
//
// S is the type of the policy's settings, as encoding/json decodes them. For a policy without
// settings, use [NoSettings]. Settings with fields that S does not have, or with values that do not
// fit, are rejected. If S or *S has a method Validate() error, it is called when the policy is
// loaded. Its error should contain the name of the bad field; use errors.Join for several. It is
// not called again for each request: hosts serve no policy whose settings it rejected.
//
// The function is not called concurrently. An error is a failed evaluation. To deny a request, use
// [Reject].
func Register[S any](validate func(*Request, S) (Response, error)) {
	register[S](func(review []byte) (Response, error) {
		request := &Request{}
		settings, err := readReview[S](review, request.read)
		if err != nil {
			return Response{}, err
		}
		return validate(request, settings)
	})
}

// RegisterRaw is like Register, but for requests that do not come from Kubernetes. R is the type of
// the request, as encoding/json decodes it, or json.RawMessage. The module's metadata must say
// policyType: raw.
func RegisterRaw[R, S any](validate func(R, S) (Response, error)) {
	register[S](func(review []byte) (Response, error) {
		var request R
		settings, err := readReview[S](review, func(text []byte, at int) (end int, err error) {
			if end, err = jsontext.Skip(text, at); err != nil {
				return 0, err
			}
			return end, jsontext.Decode(text[at:end], &request)
		})
		if err != nil {
			return Response{}, err
		}
		return validate(request, settings)
	})
}

func register[S any](validate func(review []byte) (Response, error)) {
	guest.Handle("protocol_version", func([]byte) ([]byte, error) { return []byte(`"v1"`), nil })
	guest.Handle("validate_settings", validateSettings[S])
	guest.Handle("validate", func(payload []byte) ([]byte, error) {
		response, err := validate(payload)
		if err != nil {
			return nil, err
		}
		return response.encode()
	})
}

// readReview reads a review: its settings, and its request with a function that takes the position
// of the request and returns its end.
func readReview[S any](review []byte,
	request func(review []byte, at int) (end int, err error)) (settings S, err error) {
	var text []byte
	requested := false
	end, err := jsontext.Walk(review, 0, func(name []byte, at int) (end int, err error) {
		if string(name) == "request" {
			requested = true
			if end, err = request(review, at); err != nil {
				err = fmt.Errorf("request: %w", err)
			}
			return end, err
		}
		if end, err = jsontext.Skip(review, at); err == nil && string(name) == "settings" {
			text = review[at:end]
		}
		return end, err
	})
	if err == nil {
		err = jsontext.AtEnd(review, end)
	}
	switch {
	case err != nil:
	case !requested:
		err = errors.New("there is no request")
	case text == nil:
		err = errors.New("there are no settings")
	}
	if err != nil {
		return settings, fmt.Errorf("decode the review: %w", err)
	}
	if settings, err = decodeSettings[S](text); err != nil {
		err = fmt.Errorf("settings: %w", err)
	}
	return settings, err
}

func validateSettings[S any](payload []byte) ([]byte, error) {
	settings, err := decodeSettings[S](payload)
	if validator, ok := any(&settings).(interface{ Validate() error }); ok && err == nil {
		err = validator.Validate()
	}
	answer := struct {
		Valid   bool   `json:"valid"`
		Message string `json:"message,omitempty"`
	}{Valid: err == nil}
	if err != nil {
		answer.Message = err.Error()
	}
	return json.Marshal(answer)
}
