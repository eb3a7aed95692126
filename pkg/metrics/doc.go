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

// Package metrics shows the work of the library in numbers, with Kubernetes' own metrics
// library. Each package that has something to note says what in an interface of its own;
// here is what implements them all. Nothing is registered by itself: whoever embeds the
// library says where. Methods are safe for concurrent use. Their arguments are labels: the
// names of policies, which the configuration bounds, and words of closed sets.
package metrics
