//go:build !linux

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

package worker

import (
	"os"
	"syscall"
)

// impose does nothing here: the parent's clock and the garbage collector's soft limit must suffice.
func (limits) impose() error { return nil }

func executable() (string, error) { return os.Executable() }

// endsWithParent does nothing here: a child ends when its standard input ends.
func endsWithParent() *syscall.SysProcAttr { return nil }
