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

package kind

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// machine holds the things that a cluster could leave behind on its machine.
type machine struct {
	cgroups, links, mounts, namespaces, rules, processes []string
}

// lookAtMachine inspects the machine from outside the namespaces.
func lookAtMachine(t *testing.T) machine {
	t.Helper()
	return machine{
		cgroups:    directories("/sys/fs/cgroup"),
		links:      names(t, "/sys/class/net"),
		mounts:     lines(t, "/proc/self/mounts"),
		namespaces: ofSuite(networkNamespaces()),
		rules:      packetFilters(t),
		processes:  ofSuite(processes()),
	}
}

// requireEqual fails if anything exists now that did not exist before.
func (m machine) requireEqual(t *testing.T, now machine) {
	t.Helper()
	for _, what := range []struct {
		name        string
		before, now []string
	}{
		{"cgroups", m.cgroups, now.cgroups},
		{"network interfaces", m.links, now.links},
		{"mounts", m.mounts, now.mounts},
		{"network namespaces", m.namespaces, now.namespaces},
		{"rules of packet filters", m.rules, now.rules},
		{"processes", m.processes, now.processes},
	} {
		left := slices.DeleteFunc(slices.Clone(what.now), func(line string) bool {
			return slices.Contains(what.before, line)
		})
		require.Empty(t, left, what.name)
	}
}

// directories returns the directories below top that have the suite's names.
func directories(top string) (found []string) {
	_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			found = append(found, path)
		}
		return nil
	})
	return ofSuite(found)
}

func names(t *testing.T, directory string) (found []string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	require.NoError(t, err)
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return strings.Split(string(text), "\n")
}

// marks are parts of the names of Docker's and clusters' processes and cgroups.
var marks = []string{
	"wasm-admission-kind", ".cache/kind/", "dockerd", "docker-proxy", "containerd", "kubelet",
	"kubepods", "/docker/",
}

// ofSuite leaves out everything that does not belong to the suite.
func ofSuite(all []string) []string {
	return slices.DeleteFunc(all, func(line string) bool {
		return !slices.ContainsFunc(marks, func(mark string) bool {
			return strings.Contains(line, mark)
		})
	})
}

// processes returns the process ID and the command line of each process.
func processes() (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		// Ignore processes that have exited in the meantime.
		if text, err := os.ReadFile(file); err == nil && len(text) > 0 {
			found = append(found, file+" "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return found
}

// networkNamespaces returns the network namespace of each process outside the test's own, with the
// process.
func networkNamespaces() (found []string) {
	own, _ := os.Readlink("/proc/self/ns/net")
	for _, process := range processes() {
		directory, _, _ := strings.Cut(process, "/cmdline ")
		if namespace, err := os.Readlink(directory + "/ns/net"); err == nil && namespace != own {
			found = append(found, namespace+" "+process)
		}
	}
	return found
}

// packetFilters returns the rules of the machine's packet filters. It lists them with the programs
// that Docker uses: the unpacked ones, or else the machine's own.
func packetFilters(t *testing.T) (found []string) {
	t.Helper()
	debian := filepath.Join(root(t), ".cache/kind/debian/tree")
	libraries, err := filepath.Glob(filepath.Join(debian, "usr/lib/*-linux-gnu"))
	require.NoError(t, err)
	for _, save := range []string{
		"iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save",
	} {
		c := exec.Command(save)
		unpacked := filepath.Join(debian, "usr/sbin", save)
		if _, err := os.Stat(unpacked); err == nil {
			c = exec.Command(unpacked)
			c.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
		}
		output, err := c.Output()
		require.NoError(t, err, save)
		for line := range strings.SplitSeq(string(output), "\n") {
			if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ":") { // counters
				found = append(found, save+": "+line)
			}
		}
	}
	return found
}
