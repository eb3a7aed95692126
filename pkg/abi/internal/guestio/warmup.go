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

package guestio

import (
	"bytes"
	_ "embed" // for the request
	"encoding/json"
)

//go:embed warmup.json
var warmUpRequest []byte

// WarmUpRequest is the request that warms up guests: the creation of a Pod as big as many are, in
// 9 KB of JSON. What a guest does only with its first big request, such as growing its memory, it
// then does not do in every evaluation. Warm-up uses no policy's settings, because policies with
// different settings share the snapshot.
var WarmUpRequest = func() string {
	var compact bytes.Buffer
	if err := json.Compact(&compact, warmUpRequest); err != nil {
		panic(err) // the file is part of the package
	}
	return compact.String()
}()
