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

package benchmark

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// The names of files with measurements. Each measured operation has its own directory. Names and
// format are those of tiny-bench, which kwctl uses.
const (
	currentSample = "current-sample"
	oldSample     = "old-sample"
)

// Encode encodes measurements for a file: the number of samples in 64 bits, their iterations in 64
// bits each, and their nanoseconds in 128 bits each, all in little-endian order.
func (d *Data) Encode() []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(d.Iterations)))
	for _, count := range d.Iterations {
		file = binary.LittleEndian.AppendUint64(file, count)
	}
	for _, took := range d.Times {
		file = binary.LittleEndian.AppendUint64(file, took)
		file = binary.LittleEndian.AppendUint64(file, 0) // no time is that long
	}
	return file
}

// Decode decodes the content of such a file.
func Decode(file []byte) (*Data, error) {
	if len(file) < 8 {
		return nil, errors.New("it is too short")
	}
	count := binary.LittleEndian.Uint64(file)
	if count < MinSamples || count > MaxSamples || uint64(len(file)) != 8+count*24 {
		return nil, fmt.Errorf(
			"it has %d bytes, which is not what %d samples need", len(file), count)
	}
	data, words := &Data{}, file[8:]
	for n := range count {
		times := words[8*count:][16*n:]
		data.Iterations = append(data.Iterations, binary.LittleEndian.Uint64(words[8*n:]))
		data.Times = append(data.Times, binary.LittleEndian.Uint64(times))
		if data.Iterations[n] == 0 || binary.LittleEndian.Uint64(times[8:]) != 0 {
			return nil, fmt.Errorf("sample %d is invalid", n)
		}
	}
	return data, nil
}

// Read returns the latest measurements in a directory, or nil if there are none.
func Read(directory string) (*Data, error) {
	path := filepath.Join(directory, currentSample)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, 8+MaxSamples*24+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	data, err := Decode(content)
	if err != nil {
		return nil, fmt.Errorf("%s holds no measurements: %w: remove it", path, err)
	}
	return data, nil
}

// Write writes measurements into a directory, which it creates if necessary. The previous
// measurements are kept beside them.
func (d *Data) Write(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	path := filepath.Join(directory, currentSample)
	if err := os.Rename(path, filepath.Join(directory, oldSample)); err != nil &&
		!errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, d.Encode(), 0o644)
}
