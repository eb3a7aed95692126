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

// Package codecache keeps compiled machine code on disk, and returns it only if it is byte for byte
// what was stored.
//
// wazero's own file cache (wazero.NewCompilationCacheWithDir) protects the code of an entry with a
// CRC, and does not protect the tables beside the code. It also allocates by the counts that it
// reads before it checks any. Package codecache therefore compares the names, sizes, and SHA-256
// digests of an entry with a manifest before wazero reads the entry. The manifest was written after
// the compilation:
//
//	<directory>/lock                 held by the process that owns the directory
//	<directory>/<key>/...            what wazero wrote for one module
//	<directory>/<key>.manifest       what must be found there
//	<directory>/<key>.tmp            a manifest being written
//
// A module is compiled, or loaded, like this:
//
//	entry, err := cache.Entry(ctx, codecache.KeyOf(module, version, runtime.GOOS, runtime.GOARCH))
//	if err != nil { ... } // compile in memory
//	defer entry.Close()
//	compilations, err := wazero.NewCompilationCacheWithDir(entry.Directory())
//	... // CompileModule
//	err = entry.Commit() // log an error: the code runs in any case
//
// wazero copies an entry into memory while it compiles, so the caller needs the Entry only until
// then. [Fill] is for callers that give wazero a stand-in for a module whose code already exists,
// or that let another process compile.
//
// # Threats
//
// The package defends against other users: the directory and everything in it must belong to the
// effective user and be inaccessible to everyone else, or the package refuses it. The administrator
// must protect the directories above it. The manifest defends against damage: torn writes, bit rot,
// copied or half-deleted trees, and interrupted runs. The package does not defend against another
// process of the same user, which could write to this process's memory anyway. A manifest is a
// checksum, not a signature.
package codecache
