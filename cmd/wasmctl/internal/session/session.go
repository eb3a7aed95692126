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

// Package session records the host calls of policies with their answers, and replays such
// recordings. A session is a file in kwctl's format, so that both commands can replay each other's
// recordings.
package session

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/wasm-admission/wasm-admission/internal/explain"
)

const (
	// MaxBytes bounds the size of a session's file: 64 MiB.
	MaxBytes = 64 << 20
	// maxExchanges bounds the number of exchanges in a session.
	maxExchanges = 100_000
)

// Session holds the exchanges between a policy and its host, in order.
type Session []Exchange

// Exchange is a host call with its answer.
type Exchange struct {
	Request  Request
	Response Response
}

// Response is the answer to the policy: a payload, or the text of an error.
type Response struct {
	Payload string
	// Failed reports that Message is valid, and not the payload.
	Failed  bool
	Message string
}

// The values of the field "type" of exchanges and responses.
const (
	typeExchange = "Exchange"
	typeSuccess  = "Success"
	typeError    = "Error"
)

// exchangeFile and responseFile are the structure of an exchange in the file.
type (
	exchangeFile struct {
		Type     string       `yaml:"type"`
		Request  string       `yaml:"request"`
		Response responseFile `yaml:"response"`
	}
	responseFile struct {
		Type    string  `yaml:"type"`
		Payload *string `yaml:"payload,omitempty"`
		Message *string `yaml:"message,omitempty"`
	}
)

// Parse parses a session. The error names every invalid exchange, counted from 1.
func Parse(data []byte) (Session, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf(
			"the session is larger than %d bytes: record a shorter one", MaxBytes)
	}
	var file []exchangeFile
	decoder := yamlv3.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the session is not a YAML list of exchanges: %w", explain.YAML(err))
	}
	if err := decoder.Decode(new(yamlv3.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the session is more than one YAML document: keep one")
	}
	if len(file) > maxExchanges {
		return nil, fmt.Errorf(
			"the session has more than %d exchanges: record a shorter one", maxExchanges)
	}
	session := make(Session, len(file))
	var errs []error
	for n := range file {
		var err error
		if session[n], err = file[n].exchange(); err != nil {
			errs = append(errs, fmt.Errorf("exchange %d: %w", n+1, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return session, nil
}

func (f *exchangeFile) exchange() (Exchange, error) {
	if f.Type != typeExchange {
		return Exchange{}, fmt.Errorf("type is %q: write %s", f.Type, typeExchange)
	}
	request, err := parseRequest(f.Request)
	if err != nil {
		return Exchange{}, fmt.Errorf("request: %w", err)
	}
	e := Exchange{Request: request}
	switch r := &f.Response; {
	case r.Type == typeSuccess && r.Payload != nil:
		e.Response = Response{Payload: *r.Payload}
	case r.Type == typeError && r.Message != nil:
		e.Response = Response{Failed: true, Message: *r.Message}
	default:
		return Exchange{}, fmt.Errorf(
			"response: write type %s with a payload, or type %s with a message",
			typeSuccess, typeError)
	}
	return e, nil
}

// Encode encodes the session as a file. It refuses one that is larger than [Parse] accepts.
func (s Session) Encode() ([]byte, error) {
	file, size := make([]exchangeFile, len(s)), 0
	for n := range s {
		if size += len(s[n].Response.Payload); size > MaxBytes {
			return nil, tooLarge(size)
		}
		request, err := s[n].Request.encode()
		if err != nil {
			return nil, fmt.Errorf("exchange %d: %w", n+1, err)
		}
		file[n] = exchangeFile{
			Type:     typeExchange,
			Request:  request,
			Response: responseFile{Type: typeSuccess, Payload: &s[n].Response.Payload},
		}
		if s[n].Response.Failed {
			file[n].Response = responseFile{Type: typeError, Message: &s[n].Response.Message}
		}
	}
	var text bytes.Buffer
	encoder := yamlv3.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(file), encoder.Close()); err != nil {
		return nil, err
	}
	if text.Len() > MaxBytes {
		return nil, tooLarge(text.Len())
	}
	return text.Bytes(), nil
}

func tooLarge(size int) error {
	return fmt.Errorf(
		"the session has %d bytes or more, and no more than %d can be replayed: make the policy read less",
		size, MaxBytes)
}
