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

import (
	"encoding/binary"
)

// WASI (preview 1, witx of snapshot_preview1) shows a guest a process with standard streams,
// clocks, and randomness, and nothing else: no arguments except those of a [Command], no
// environment, no directories. The engine uses wazero's functions where they do a small, constant
// amount of work and keep no state. Guests pay for calling them as for all other functions. The
// functions in this file replace wazero's where a guest decides how much work a call does, or where
// a call would change what the next evaluation sees and no memory reset could undo that.

// The WASI error codes (type errno) in use.
const (
	wasiSuccess = 0
	wasiBadf    = 8
	wasiFault   = 21
	wasiInval   = 28
	wasiNotsup  = 58
)

const (
	// hostChunk is the number of bytes that the host processes for a guest before it checks the
	// clock again.
	hostChunk = 1 << 10
	// maxSubscriptions is the number of events for which a guest may wait at once. A guest that has
	// only standard streams needs no more than a few.
	maxSubscriptions = 1 << 10
)

// wasiFunctions returns the functions that replace wazero's.
func wasiFunctions() []HostFunction {
	functions := []HostFunction{
		{Name: "proc_exit", Params: []ValueType{I32}, Call: procExit},
		wasiFunction("fd_close", "i", fdClose),
		// Renumbering would change the streams of the next evaluation.
		wasiFunction("fd_renumber", "ii", func(*Instance, []uint64) uint32 { return wasiNotsup }),
		// Streams have no timestamps. wazero v1.12 would look up the file's file system.
		wasiFunction("fd_filestat_set_times", "ijji", func(*Instance, []uint64) uint32 {
			return wasiNotsup
		}),
		wasiFunction("fd_read", "iiii", fdRead),
		wasiFunction("fd_write", "iiii", fdWrite),
		wasiFunction("poll_oneoff", "iiii", pollOneoff),
		wasiFunction("random_get", "ii", randomGet),
	}
	// Every path is relative to a directory descriptor, and the guest has none. wazero would copy
	// and clean the path first.
	for name, params := range map[string]string{
		"fd_pread":                "iiiji",
		"fd_pwrite":               "iiiji",
		"path_create_directory":   "iii",
		"path_filestat_get":       "iiiii",
		"path_filestat_set_times": "iiiijji",
		"path_link":               "iiiiiii",
		"path_open":               "iiiiijjii",
		"path_readlink":           "iiiiii",
		"path_remove_directory":   "iii",
		"path_rename":             "iiiiii",
		"path_symlink":            "iiiii",
		"path_unlink_file":        "iii",
	} {
		functions = append(functions,
			wasiFunction(name, params, func(*Instance, []uint64) uint32 { return wasiBadf }))
	}
	return functions
}

// wasiFunction describes a function that returns an errno. params holds a letter for each
// parameter: i for i32, j for i64.
func wasiFunction(name, params string,
	call func(i *Instance, params []uint64) uint32) HostFunction {
	f := HostFunction{Name: name, Results: []ValueType{I32},
		Call: func(i *Instance, stack []uint64) {
			stack[0] = uint64(call(i, stack))
		}}
	for _, letter := range params {
		f.Params = append(f.Params, map[rune]ValueType{'i': I32, 'j': I64}[letter])
	}
	return f
}

// fdClose reports that it closed a standard stream, but keeps it open for the next evaluation.
func fdClose(_ *Instance, params []uint64) uint32 {
	if uint32(params[0]) > 2 {
		return wasiBadf
	}
	return wasiSuccess
}

// fdWrite passes a guest's output to the ABI, in pieces.
func fdWrite(i *Instance, params []uint64) uint32 {
	fd, list, count, result := uint32(params[0]), uint32(params[1]), uint32(params[2]),
		uint32(params[3])
	if fd != 1 && fd != 2 {
		return wasiBadf
	}
	vectors, errno := i.vectors(list, count)
	if errno != wasiSuccess {
		return errno
	}
	i.parked.printed = true
	var written uint32
	for ; len(vectors) > 0; vectors = vectors[vectorSize:] {
		p, ok := i.Read(binary.LittleEndian.Uint32(vectors),
			binary.LittleEndian.Uint32(vectors[4:]))
		if !ok {
			return wasiFault
		}
		written += uint32(len(p))
		for first := true; first || len(p) > 0; first = false {
			i.MustGoOn()
			piece := p[:min(len(p), hostChunk)]
			// An empty vector costs work, too.
			i.Pay(hostCallFuel + hostByteFuel*int64(len(piece)))
			if p = p[len(piece):]; i.module.abi.Output != nil {
				i.module.abi.Output(i, int(fd), piece)
			}
		}
	}
	return i.writeUint32(result, written)
}

// randomGet fills memory with random bytes, in pieces.
func randomGet(i *Instance, params []uint64) uint32 {
	p, ok := i.Read(uint32(params[0]), uint32(params[1]))
	if !ok {
		return wasiFault
	}
	for len(p) > 0 {
		i.MustGoOn()
		piece := p[:min(len(p), hostChunk)]
		i.Pay(hostByteFuel * int64(len(piece)))
		i.ambient.draw(piece)
		p = p[len(piece):]
	}
	return wasiSuccess
}

// writeUint32 writes the result of a WASI function.
func (i *Instance) writeUint32(offset, value uint32) uint32 {
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], value)
	if !i.Write(offset, p[:]) {
		return wasiFault
	}
	return wasiSuccess
}
