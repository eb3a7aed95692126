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

// Package metrics exports metrics of this library with Kubernetes' metrics library. Each package
// that has something to record declares an interface for it, and this package implements all of
// them. It registers nothing on its own; the embedder decides where to register. All methods are
// safe for concurrent use. Their arguments are labels: names of policies, which the configuration
// bounds, and words from fixed sets.
package metrics
