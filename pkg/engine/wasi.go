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

// What a guest finds of WASI (preview 1, witx of snapshot_preview1) is a process
// with standard streams, clocks, randomness and nothing else: no arguments but
// those of a [Command], no environment, no directories. wazero's implementation serves where it does a
// small and constant piece of work and keeps no state; guests pay for its calls as for all others. The functions here take its
// place where a guest decides how much work a call is, or where a call would
// change what the next evaluation finds, which no reset of memory undoes.

// Numbers of the WASI type errno.
const (
	wasiSuccess = 0
	wasiBadf    = 8
	wasiFault   = 21
	wasiInval   = 28
	wasiNotsup  = 58
)

const (
	// hostChunk is how many bytes the host works on for a guest before it looks at
	// the clock again.
	hostChunk = 1 << 10
	// maxSubscriptions is how many events a guest may wait for at once. One with
	// only standard streams has no use for more than a few.
	maxSubscriptions = 1 << 10
)

// wasiFunctions replace functions of wazero's implementation of WASI.
func wasiFunctions() []HostFunction {
	functions := []HostFunction{
		{Name: "proc_exit", Params: []ValueType{I32}, Call: procExit},
		wasiFunction("fd_close", "i", fdClose),
		// It would change which stream is which for the next evaluation.
		wasiFunction("fd_renumber", "ii", func(*Instance, []uint64) uint32 { return wasiNotsup }),
		// Streams have no times. wazero v1.12 looks for the file system of the file.
		wasiFunction("fd_filestat_set_times", "ijji", func(*Instance, []uint64) uint32 { return wasiNotsup }),
		wasiFunction("fd_read", "iiii", fdRead),
		wasiFunction("fd_write", "iiii", fdWrite),
		wasiFunction("poll_oneoff", "iiii", pollOneoff),
		wasiFunction("random_get", "ii", randomGet),
	}
	// Every path is relative to the descriptor of a directory, and there is none.
	// wazero copies and cleans the path before it looks.
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
		functions = append(functions, wasiFunction(name, params, func(*Instance, []uint64) uint32 { return wasiBadf }))
	}
	return functions
}

// wasiFunction describes a function that returns an errno. Its parameters are a
// letter each: i for i32, j for i64.
func wasiFunction(name, params string, call func(i *Instance, params []uint64) uint32) HostFunction {
	f := HostFunction{Name: name, Results: []ValueType{I32}, Call: func(i *Instance, stack []uint64) {
		stack[0] = uint64(call(i, stack))
	}}
	for _, letter := range params {
		f.Params = append(f.Params, map[rune]ValueType{'i': I32, 'j': I64}[letter])
	}
	return f
}

// fdClose says that it closed a standard stream, and leaves it open for the next
// evaluation.
func fdClose(_ *Instance, params []uint64) uint32 {
	if uint32(params[0]) > 2 {
		return wasiBadf
	}
	return wasiSuccess
}

// fdWrite hands what a guest prints to the ABI, in pieces.
func fdWrite(i *Instance, params []uint64) uint32 {
	fd, list, count, result := uint32(params[0]), uint32(params[1]), uint32(params[2]), uint32(params[3])
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
		p, ok := i.Read(binary.LittleEndian.Uint32(vectors), binary.LittleEndian.Uint32(vectors[4:]))
		if !ok {
			return wasiFault
		}
		written += uint32(len(p))
		for first := true; first || len(p) > 0; first = false {
			i.MustGoOn()
			piece := p[:min(len(p), hostChunk)]
			// A vector without a byte is work, too.
			i.Pay(hostCallFuel + hostByteFuel*int64(len(piece)))
			if p = p[len(piece):]; i.module.abi.Output != nil {
				i.module.abi.Output(i, int(fd), piece)
			}
		}
	}
	return i.writeUint32(result, written)
}

// randomGet fills memory with randomness, in pieces.
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

// writeUint32 writes a result of a WASI function.
func (i *Instance) writeUint32(offset, value uint32) uint32 {
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], value)
	if !i.Write(offset, p[:]) {
		return wasiFault
	}
	return wasiSuccess
}
