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

// On returns options for an engine that works around the faults of an architecture, whichever it
// runs on.
func (o Options) On(architecture string) Options {
	o.architecture = architecture
	return o
}

// Mapping returns options for an engine whose process may have the given number of mappings.
func (o Options) Mapping(most uint64) Options {
	o.maxMappings = most
	return o
}

// At returns options for an engine that measures idle time with the given clock.
func (o Options) At(now func() time.Time) Options {
	o.now = now
	return o
}

// TrimIdle destroys long-idle instances, as the engine does periodically.
func (e *Engine) TrimIdle() { e.trimIdle() }

// IdleTime is how long an instance may stay idle.
const IdleTime = idleTime

// InstanceMappings is the maximum number of mappings of an instance.
const InstanceMappings = instanceMappings
