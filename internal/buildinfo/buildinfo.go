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

// Package buildinfo reports the version and commit of a binary.
package buildinfo

import (
	"cmp"
	"runtime/debug"
)

// gitVersion and gitCommit are set by make at link time, because a checkout has no version of its
// own.
var gitVersion, gitCommit string

// String returns the version and commit of this binary as far as they are known, such as "v0.1.0,
// commit 1a2b3c".
func String() string {
	version, commit := gitVersion, gitCommit
	if info, ok := debug.ReadBuildInfo(); ok {
		version = cmp.Or(version, info.Main.Version)
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				commit = cmp.Or(commit, setting.Value)
			}
		}
	}
	return cmp.Or(version, "unknown") + ", commit " + cmp.Or(commit, "unknown")
}
