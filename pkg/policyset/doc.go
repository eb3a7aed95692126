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

// Package policyset turns a configuration into policies that are ready to be
// evaluated: modules fetched, checked and compiled, settings accepted by the
// policies themselves.
//
// A policy group is a policy too: one whose answers are those of its members, combined
// by an expression. Every policy is guarded: it evaluates so many requests at a time,
// and is left alone for a while when it does nothing but fail.
//
// A [Set] is immutable. Whoever serves requests holds one and may exchange it
// for another at any time; requests finish on the set that they started with.
package policyset
