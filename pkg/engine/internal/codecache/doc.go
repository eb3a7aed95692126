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

// Package codecache keeps compiled machine code on disk and hands it out again
// only when it is, byte for byte, what was put there.
//
// The file cache that wazero brings (wazero.NewCompilationCacheWithDir) protects
// the code of an entry by a CRC, protects the tables beside the code by nothing,
// and allocates by the counts it reads before it checks any. So no entry reaches
// wazero here before its names, sizes and SHA-256 digests have been compared
// with a manifest that was written after the compilation:
//
//	<directory>/lock                 held by the process that owns the directory
//	<directory>/<key>/...            what wazero wrote for one module
//	<directory>/<key>.manifest       what must be found there
//	<directory>/<key>.tmp            a manifest being written
//
// A module is compiled, or loaded, like this:
//
//	entry, err := cache.Entry(ctx, codecache.KeyOf(module, version, runtime.GOOS, runtime.GOARCH))
//	if err != nil { ... }                                                 // compile in memory
//	defer entry.Close()
//	compilations, err := wazero.NewCompilationCacheWithDir(entry.Directory())
//	...                                                                   // CompileModule
//	err = entry.Commit()                                                  // log it: the code runs in any case
//
// wazero copies an entry into memory while it compiles, so an Entry is needed no
// longer than that. [Fill] is for callers that would rather give wazero
// something else than a module whose code is there already, or that have another process compile.
//
// # What is and is not defended against
//
// Against other users: the directory and all that is in it belong to the
// effective user and give no access to anybody else, or they are refused. The
// directories above it are for the administrator to protect. Against damage
// (torn writes, bit rot, copied or half-deleted trees, interrupted runs): the
// manifest. Not against another process of the same user, who could as well
// write to the memory of this one: a manifest is a checksum, no signature.
package codecache
