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

import _ "embed" // for the request

// WarmUpRequests are the requests that warm up guests, in the order in which they are tried: the
// creation of a Pod as big as many are, in 9 KB of JSON, and of a small one. What a guest does only
// with its first big request, such as growing its memory, it then does not do in every evaluation.
// But a big Pod can make a guest call the host, for example for its service account, and warm-up
// has no capabilities. Warm-up uses no policy's settings, because policies with different settings
// share the snapshot.
var WarmUpRequests = []string{bigPod, smallPod}

//go:embed warmup.json
var bigPod string

const smallPod = `{"uid":"00000000-0000-0000-0000-000000000000",` +
	`"kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},` +
	`"name":"warm-up","namespace":"default","operation":"CREATE","userInfo":{"username":"warm-up","groups":["system:authenticated"]},` +
	`"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"warm-up","namespace":"default","labels":{"app":"warm-up"}},` +
	`"spec":{"containers":[{"name":"main","image":"registry.example.com/warm-up:1"}]}},"dryRun":false}`
