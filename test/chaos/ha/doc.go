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

// Package ha has violating writes hammer three real kube-apiservers with three real etcds,
// each pair in a network namespace of its own, while everything goes wrong between them:
// partitions, crashes, elections, changes of policies that are half rolled out, and clocks
// that are off. Its test takes minutes and needs root, so that it runs by `make chaos-ha`
// only.
package ha
