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

package memory

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// seals keep the content of an image unchanged. Nobody can write to the file through any descriptor
// or shared mapping, change its length (which would turn accesses into SIGBUS), or remove the
// seals. See fcntl(2).
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL

// imageFile is the sealed memfd behind an image, or empty if the image is a Go slice.
type imageFile struct {
	fd     int
	mapped bool
}

// storeImage writes the segments into a sealed memfd of size bytes, with holes between them, and
// maps it read-only. If the system refuses memfds, as seccomp can, it returns a Go slice, which
// only the Copy strategy can use.
func storeImage(size uint64, segments []Segment) ([]byte, imageFile, error) {
	if size == 0 {
		return nil, imageFile{}, nil
	}
	fd, err := newMemfd()
	if err != nil {
		return storeSlice(size, segments), imageFile{}, nil //nolint:nilerr // a slice does as well
	}
	data, err := fillMemfd(fd, size, segments)
	if err != nil {
		return nil, imageFile{}, errors.Join(err, unix.Close(fd))
	}
	return data, imageFile{fd: fd, mapped: true}, nil
}

func newMemfd() (int, error) {
	const name, flags = "wasm-image", unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	// Systems with vm.memfd_noexec=2 refuse executable memfds. Kernels before 6.3 do not know the
	// flag.
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	return fd, err
}

func fillMemfd(fd int, size uint64, segments []Segment) ([]byte, error) {
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, fmt.Errorf("set length of memfd: %w", err)
	}
	for _, s := range segments {
		for done := 0; done < len(s.Data); {
			n, err := unix.Pwrite(fd, s.Data[done:], int64(s.Offset)+int64(done))
			if err != nil && !errors.Is(err, unix.EINTR) {
				return nil, fmt.Errorf("write memfd: %w", err)
			}
			done += max(n, 0)
		}
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("seal memfd: %w", err)
	}
	// The mapping is private because kernels before 6.7 refuse a shared mapping of a write-sealed
	// file, even a read-only one. It is not populated, because that would make pages for the holes,
	// which are most of many images. The first reset maps the pages that resets read.
	p, err := unix.MmapPtr(fd, 0, nil, uintptr(size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map memfd: %w", err)
	}
	return unsafe.Slice((*byte)(p), size), nil
}

// release unmaps the content and closes the file.
func (f imageFile) release(data []byte) error {
	if !f.mapped {
		return nil
	}
	return errors.Join(
		unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(data)), uintptr(len(data))),
		unix.Close(f.fd),
	)
}
