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

package main

import "runtime"

// ballastBytes is how much the heap seems larger to the garbage collector. With the default
// GOGC, garbage may reach twice this much more before a collection starts.
const ballastBytes = 16 << 20

// holdBallast makes the garbage collector run less often, until release is called.
//
// This process keeps little on the heap and makes tens of kilobytes of garbage for each
// review, so that collections would follow each other closely. A larger GOGC would do the
// same, but its cost grows with the heap, and a cluster with many objects has a large one.
// The ballast costs the same everywhere, and takes no memory itself: nobody writes to it.
func holdBallast() (release func()) {
	ballast := make([]byte, ballastBytes)
	return func() { runtime.KeepAlive(ballast) }
}
