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

// Register makes a function the policy of the module. It is called from an init function, once:
// it panics the second time.
//
// S is the type of the policy's settings, as encoding/json decodes them; a policy without
// settings uses [NoSettings]. Settings that S has no field for, or that do not fit, are refused.
// If S or *S has a method Validate() error, it is asked when the policy is loaded; write the
// name of the field that is wrong into the error, and errors.Join for several. It is not asked
// again for each request: hosts serve no policy whose settings it refused.
//
// The function is not called concurrently. An error is a failed evaluation: see [Reject] for
// requests that are to be denied.
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

// RegisterRaw is Register for requests that are not of Kubernetes: R is the type of the request
// as encoding/json decodes it, or json.RawMessage. The module's metadata says policyType: raw.
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

// readReview reads a review: its request with a function, which is given where the request
// begins and returns where it ends, and its settings.
func readReview[S any](review []byte,
	request func(review []byte, at int) (end int, err error)) (settings S, err error) {
	var text []byte
	requested := false
	end, err := jsontext.Walk(review, 0, func(name string, at int) (end int, err error) {
		if name == "request" {
			requested = true
			if end, err = request(review, at); err != nil {
				err = fmt.Errorf("request: %w", err)
			}
			return end, err
		}
		if end, err = jsontext.Skip(review, at); err == nil && name == "settings" {
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
