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

package engine

import "time"

// On returns options for an engine that goes around what is wrong on an architecture, whatever it
// runs on.
func (o Options) On(architecture string) Options {
	o.architecture = architecture
	return o
}

// Mapping returns options for an engine in a process that may have so many mappings.
func (o Options) Mapping(most uint64) Options {
	o.maxMappings = most
	return o
}

// At returns options for an engine whose instances are idle by a clock.
func (o Options) At(now func() time.Time) Options {
	o.now = now
	return o
}

// TrimIdle ends what was idle for long, as the engine does from time to time.
func (e *Engine) TrimIdle() { e.trimIdle() }

// The clock's marks, for tests.
const IdleTime = idleTime

// InstanceMappings is what an instance may map.
const InstanceMappings = instanceMappings
