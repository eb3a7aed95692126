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
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// emulated reports whether a processor emulator (qemu-user) stands in for the kernel. It answers
// unknown ioctls with ENOSYS, which no kernel does.
func emulated() bool { return errors.Is(Probe()[0].Err, unix.ENOSYS) }

// skipEmulated skips tests of what an emulator does differently from a kernel.
func skipEmulated(t *testing.T, lacks string) {
	t.Helper()
	if emulated() {
		t.Skip("the kernel is emulated, without", lacks)
	}
}

// TestProbe logs which strategies the other tests cover. Root on a kernel with PAGEMAP_SCAN must
// have all of them. It is worth knowing if a container or a sandbox removes some.
func TestProbe(t *testing.T) {
	support := Probe()
	require.Len(t, support, 4)
	require.NoError(t, support[3].Err, "copy works everywhere")
	var uts unix.Utsname
	require.NoError(t, unix.Uname(&uts))
	var major, minor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(uts.Release[:]), "%d.%d", &major, &minor)
	require.NoError(t, err)
	all := !emulated() && os.Getuid() == 0 && (major > 6 || major == 6 && minor >= 7)
	for i, want := range []Strategy{PagemapScan, Pagemap, Madvise, Copy} {
		require.Equal(t, want, support[i].Strategy)
		t.Logf("%s: %v", support[i].Strategy, support[i].Err)
		if all {
			require.NoError(t, support[i].Err)
		}
	}
	best, err := Resolve(Auto)
	require.NoError(t, err)
	require.Equal(t, best,
		support[slices.IndexFunc(support, func(s Support) bool { return s.Err == nil })].Strategy)
}

// TestProbeNotDumpable runs this test again in a process like an apiserver that is not root and has
// file capabilities. Root owns that process's page map.
func TestProbeNotDumpable(t *testing.T) {
	const child = "TEST_NOT_DUMPABLE"
	if os.Getenv(child) != "" {
		require.NoError(t, unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
		if os.Getuid() == 0 {
			require.NoError(t, unix.Setuid(65534))
		}
		for _, s := range Probe() {
			fmt.Printf("probed %s: %v\n", s.Strategy, s.Err)
		}
		r, err := NewRange(Options{Limit: PageSize})
		require.NoError(t, err)
		fmt.Printf("chosen %s\n", r.Strategy())
		_, err = NewRange(Options{Limit: PageSize, Strategy: Pagemap})
		require.ErrorIs(t, err, unix.EACCES)
		return
	}
	skipEmulated(t, "processes that may not be dumped")
	cmd := exec.Command(os.Args[0], "-test.run=^TestProbeNotDumpable$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	for _, line := range []string{
		"probed pagemap_scan: open /proc/self/pagemap: permission denied",
		"probed pagemap: open /proc/self/pagemap: permission denied",
		"probed madvise: <nil>",
		"probed copy: <nil>",
		"chosen madvise",
	} {
		require.Contains(t, strings.Split(string(out), "\n"), line)
	}
}

// TestImageIsSealed tries every way to change an image.
func TestImageIsSealed(t *testing.T) {
	start := noise(1, pages(1))
	img := newImage(t, start)
	fd := img.file.fd
	got, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	require.NoError(t, err)
	require.Equal(t, seals, got&seals)

	_, err = unix.Mmap(fd, 0, PageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	require.ErrorIs(t, err, unix.EPERM)
	_, err = unix.Pwrite(fd, []byte{0}, 0)
	require.ErrorIs(t, err, unix.EPERM)
	require.ErrorIs(t, unix.Ftruncate(fd, 0), unix.EPERM)
	require.ErrorIs(t, unix.Ftruncate(fd, 2*PageSize), unix.EPERM)
	require.ErrorIs(t,
		unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, PageSize),
		unix.EPERM)
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_EXEC)
	require.ErrorIs(t, err, unix.EPERM)

	requireFault(t, func() { img.data[0] = 0 })
	require.Equal(t, start, img.data)
}

// requireFault fails unless f accesses memory that it must not access.
func requireFault(t *testing.T, f func()) {
	t.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		t.Helper()
		fault, ok := recover().(interface{ Addr() uintptr })
		require.True(t, ok, "the access went through")
		require.NotZero(t, fault.Addr())
	}()
	f()
}

var sink byte

func TestMemoryBeyondSizeIsInaccessible(t *testing.T) {
	for _, p := range Probe() {
		t.Run(string(p.Strategy), func(t *testing.T) {
			if p.Strategy == PagemapScan {
				skipEmulated(t, "PAGEMAP_SCAN")
			}
			require.NoError(t, p.Err)
			r, err := NewRange(Options{Limit: pages(4), Size: pages(1), Strategy: p.Strategy})
			require.NoError(t, err)
			defer func() { require.NoError(t, r.Close()) }()
			all := r.space.(*mapping).mem
			requireFault(t, func() { sink = all[pages(1)] })

			require.NoError(t, r.Attach(newImage(t, noise(1, pages(2)))))
			requireFault(t, func() { sink = all[pages(2)] })
			require.NotNil(t, r.Reallocate(pages(4)))
			all[pages(4)-1] = 1
			require.NoError(t, r.Trim())
			if p.Strategy != Copy {
				requireFault(t, func() { sink = all[pages(2)] })
			}
			require.Zero(t, r.Reallocate(pages(4))[pages(4)-1])
		})
	}
}

// TestImageWithoutMemfd covers systems that refuse memfds. The image is a slice there, and only
// Copy can use it.
func TestImageWithoutMemfd(t *testing.T) {
	start := noise(1, pages(1))
	img := newImage(t, start)
	slice := &Image{
		size:  img.size,
		data:  storeSlice(img.size, []Segment{{0, start}}),
		parts: img.parts,
	}
	slice.refs.Store(1)
	for _, s := range []Strategy{Madvise, Copy} {
		r, err := NewRange(Options{Limit: pages(2), Strategy: s})
		require.NoError(t, err)
		err = r.Attach(slice)
		if s == Copy {
			require.NoError(t, err)
			clear(content(r))
			require.NoError(t, r.Reset())
			requireContent(t, start, r)
		} else {
			require.ErrorContains(t, err, "not a file")
			require.ErrorIs(t, r.Reset(), err, "the range is lost")
			require.Nil(t, r.Reallocate(0))
		}
		require.NoError(t, r.Close())
	}
	require.NoError(t, slice.Close())
}

// TestFinders compares the results of both finders in a memory with more written stretches than fit
// one search.
func TestFinders(t *testing.T) {
	page := uint64(os.Getpagesize())
	const size = 1100 * PageSize
	img := newImage(t, noise(1, 800*PageSize)) // zeros follow once attached
	for _, strategy := range []Strategy{PagemapScan, Pagemap} {
		t.Run(string(strategy), func(t *testing.T) {
			if strategy == PagemapScan {
				skipEmulated(t, "PAGEMAP_SCAN")
			}
			way, err := newRestorer(strategy)
			require.NoError(t, err)
			m, err := newMapping(size, false)
			require.NoError(t, err)
			defer func() { require.NoError(t, m.close()) }()
			require.NoError(t, m.overlay(img))
			require.NoError(t, m.commit(size))
			base := uint64(uintptr(unsafe.Pointer(&m.mem[0])))

			var want, got []uint64 // page numbers
			for p := range size / page {
				switch {
				case p%3 == 0:
					m.mem[p*page]++
					want = append(want, p)
				case p%5 == 0 && p*page < img.Size():
					sink = m.mem[p*page] // read only
				}
			}
			s := new(scratch)
			searches := 0
			for at := base; at < base+size; searches++ {
				found, next, err := way.(finding).finder.find(at, base+size, s)
				require.NoError(t, err)
				require.Greater(t, next, at)
				for _, r := range found {
					for a := r.start; a < r.end; a += page {
						got = append(got, (a-base)/page)
					}
				}
				at = next
			}
			require.Equal(t, want, got)
			if page == 4096 {
				require.Greater(t, searches, 1)
			}
		})
	}
}

// TestPagemapEntries feeds entries of all kinds to the reader, from a fake page map: real swapping
// would need a swap device.
func TestPagemapEntries(t *testing.T) {
	const soft, exclusive = 1 << 55, 1 << 56 // bits that must not matter
	entries := []uint64{
		0,                          // never touched
		entryPresent | entryFile,   // read, of the file
		entryPresent,               // written
		entryPresent | soft | 4711, // written, next to it
		entrySwapped | exclusive,   // written and swapped
		entrySwapped | entryFile,   // of the file, being migrated
		entryFile,                  // of the file, not mapped
		soft,                       // nothing there
		entryPresent | exclusive,
	}
	page := uint64(os.Getpagesize())
	const first = 3 // page number of the first entry
	fd, err := unix.MemfdCreate("entries", unix.MFD_CLOEXEC)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Close(fd)) }()
	raw := make([]byte, first*8)
	for _, e := range entries {
		raw = binary.NativeEndian.AppendUint64(raw, e)
	}
	_, err = unix.Pwrite(fd, raw, 0)
	require.NoError(t, err)

	end := (first + uint64(len(entries))) * page
	found, next, err := entryFinder{fd}.find(first*page, end, new(scratch))
	require.NoError(t, err)
	require.Equal(t, end, next)
	require.Equal(t, []region{
		{start: (first + 2) * page, end: (first + 5) * page},
		{start: (first + 8) * page, end: (first + 9) * page},
	}, found)

	_, _, err = entryFinder{fd}.find(first*page, end+page, new(scratch))
	require.ErrorContains(t, err, "missing")
	_, _, err = entryFinder{-1}.find(first*page, end, new(scratch))
	require.ErrorIs(t, err, unix.EBADF)
	skipEmulated(t, "PAGEMAP_SCAN")
	_, _, err = scanFinder{fd}.find(first*page, end, new(scratch))
	require.ErrorIs(t, err, unix.ENOTTY)
}

// TestNoHugePages checks that one byte makes one page private, even if huge pages are on for all
// memory.
func TestNoHugePages(t *testing.T) {
	skipEmulated(t, "the advice for huge pages in smaps")
	r, err := NewRange(Options{Limit: 16 << 20})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	require.NoError(t, r.Attach(newImage(t, append(noise(1, 6<<20), make([]byte, 6<<20)...))))
	mem := uintptr(unsafe.Pointer(&r.space.(*mapping).mem[0]))
	smaps, err := os.ReadFile("/proc/self/smaps")
	require.NoError(t, err)
	checked := uintptr(0)
	inside := false
	for line := range strings.Lines(string(smaps)) {
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x ", &from, &to); err == nil {
			if inside = from < mem+16<<20 && to > mem; inside {
				checked += min(to, mem+16<<20) - max(from, mem)
			}
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && inside {
			require.Contains(t, strings.Fields(flags), "nh")
		}
	}
	require.Equal(t, uintptr(16<<20), checked)
}

// privateIn counts the private bytes of a range from lo to hi.
func privateIn(t *testing.T, r *Range, lo, hi uint64) (n uint64) {
	t.Helper()
	fd, err := openPagemap()
	require.NoError(t, err)
	base := uint64(uintptr(unsafe.Pointer(r.base())))
	for at := base + lo; at < base+hi; {
		found, next, err := entryFinder{fd}.find(at, base+hi, new(scratch))
		require.NoError(t, err)
		for _, region := range found {
			n += region.end - region.start
		}
		at = next
	}
	return n
}

// TestPopulate backs the end of a memory when the range is made. It stays backed, whatever a reset
// drops.
func TestPopulate(t *testing.T) {
	skipEmulated(t, "MADV_POPULATE_WRITE")
	lazy, size := pages(2), pages(8)
	start := append(noise(1, pages(4)), make([]byte, pages(4))...)
	for _, p := range Probe() {
		if p.Err != nil {
			continue
		}
		t.Run(string(p.Strategy), func(t *testing.T) {
			budget := NewBudget(0)
			r := way{make: NewRange}.open(t, Options{
				Limit: pages(20), Strategy: p.Strategy, Budget: budget, Lazy: lazy,
				Interrupted: func() error { return nil },
			})
			require.NoError(t, r.Attach(newImage(t, start)))
			if p.Strategy != Copy {
				require.Zero(t, privateIn(t, r, 0, size))
			}
			check := func() {
				require.Equal(t, size-lazy, privateIn(t, r, lazy, size))
				require.GreaterOrEqual(t, r.Usage().Private, size-lazy)
				require.Equal(t, r.Usage().Private, budget.Used())
				requireContent(t, start, r)
			}
			require.NoError(t, r.Populate(nil))
			check()
			for range 2 {
				copy(content(r)[pages(1):], noise(2, pages(6)))
				require.NotNil(t, r.Reallocate(pages(12)))
				require.NoError(t, r.Reset())
				check()
				content(r)[pages(7)] = 1
				require.NoError(t, r.Trim())
				check()
			}
		})
	}
}

// TestPopulateWithoutBudget makes a range whose end cannot be backed.
func TestPopulateWithoutBudget(t *testing.T) {
	budget := NewBudget(pages(5))
	r := way{
		make: NewRange,
	}.open(t, Options{Limit: pages(8), Strategy: Madvise, Budget: budget, Lazy: pages(2)})
	require.NoError(t, r.Attach(newImage(t, noise(1, pages(8)))))
	exceeded := (*BudgetError)(nil)
	require.ErrorAs(t, r.Populate(nil), &exceeded)
}

// TestGrownMemoryIsBacked grows a memory, which is backed before anyone touches it, until the
// growth is interrupted.
func TestGrownMemoryIsBacked(t *testing.T) {
	skipEmulated(t, "MADV_POPULATE_WRITE")
	errLate := errors.New("late")
	asked := 0
	r := way{make: NewRange}.open(t, Options{Limit: pages(200), Interrupted: func() error {
		if asked++; asked > 3 { // one MiB each time
			return errLate
		}
		return nil
	}})
	require.NotNil(t, r.Reallocate(pages(1)))
	require.NotNil(t, r.Reallocate(pages(17)))
	require.Equal(t, 2, asked)
	require.Equal(t, pages(17), privateIn(t, r, 0, pages(17)))

	require.Nil(t, r.Reallocate(pages(100)))
	require.ErrorIs(t, r.Refused(), errLate)
	require.Equal(t, pages(17), r.Usage().Size)
	require.Zero(t, privateIn(t, r, pages(17), pages(100)),
		"memory that was backed in vain is given back")
}

// TestGrowthThatIsKeptIsBackedOnAccess grows a memory that has an image. Up to the edge, only what
// is written takes memory, and a reset neither reads nor drops the rest. With strategies that keep
// nothing, all is backed at once.
func TestGrowthThatIsKeptIsBackedOnAccess(t *testing.T) {
	skipEmulated(t, "MADV_POPULATE_WRITE")
	for _, p := range Probe() {
		if p.Err != nil {
			continue
		}
		t.Run(string(p.Strategy), func(t *testing.T) {
			r := way{make: NewRange}.open(t, Options{
				Limit: pages(40), Strategy: p.Strategy, Interrupted: func() error { return nil },
			})
			require.NoError(t, r.Attach(newImage(t, noise(1, pages(2)))))
			edge, backed, kept := pages(2)+keptGrowth, uint64(keptGrowth), uint64(0)
			if p.Strategy == PagemapScan || p.Strategy == Pagemap {
				backed, kept = granule, granule
			}
			for range 2 {
				require.NotNil(t, r.Reallocate(pages(30)))
				require.Equal(t, pages(30)-edge, privateIn(t, r, edge, pages(30)))
				content(r)[pages(3)] = 1
				require.Equal(t, backed, privateIn(t, r, pages(2), edge))
				require.NoError(t, r.Reset())
				require.Equal(t, kept, privateIn(t, r, pages(2), edge))
				require.Zero(t, privateIn(t, r, edge, pages(30)))
			}
		})
	}
}

// TestHolesTakeNothing measures what the kernel holds for a mostly zero image. Capturing,
// comparing, and resetting must not increase it.
func TestHolesTakeNothing(t *testing.T) {
	for _, s := range []Strategy{PagemapScan, Pagemap} {
		if _, err := Resolve(s); err != nil {
			t.Logf("not tested: %v", err)
			continue
		}
		start := make([]byte, pages(16))
		img := newHoles(t, start, 3, 200)
		r, err := NewRange(Options{Limit: pages(16), Strategy: s})
		require.NoError(t, err)
		require.NoError(t, r.Attach(img))
		content(r)[100*granule] = 1
		captured, err := r.Capture()
		require.NoError(t, err)
		require.True(t, r.Holds(captured))
		require.NoError(t, r.Reset())
		require.Equal(t, uint64(3), takes(t, captured)/granule)
		// The written page of the range was read before.
		require.Equal(t, uint64(3), takes(t, img)/granule)
		require.NoError(t, captured.Close())
		require.NoError(t, r.Close())
	}
}

// takes returns the number of bytes that the kernel holds for an image.
func takes(t *testing.T, img *Image) uint64 {
	t.Helper()
	var info unix.Stat_t
	require.NoError(t, unix.Fstat(img.file.fd, &info))
	return uint64(info.Blocks) * 512
}
