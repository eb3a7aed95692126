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

package filewatch

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"
)

// dataLink is the entry in a ConfigMap or Secret volume that Kubernetes replaces when the content
// changes. The files themselves are links through it and cause no events.
const dataLink = "..data"

// watcher watches only directories. The watch of a file ends when the file is replaced, and does
// not move to the new file of the same name.
type watcher struct {
	logger   klog.Logger
	events   *fsnotify.Watcher
	targets  chan map[string]names
	reports  chan struct{}
	done     chan struct{}
	watching map[string]watched
	failed   map[string]bool
}

// watched is a directory with the entries to report.
type watched struct {
	entries names
	info    fs.FileInfo
}

// names is a set of entries in a directory. Nil stands for all entries.
type names map[string]bool

func newWatcher(logger klog.Logger) (*watcher, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watcher{
		logger:   logger,
		events:   events,
		targets:  make(chan map[string]names),
		reports:  make(chan struct{}, 1), // more than one would add nothing
		done:     make(chan struct{}),
		watching: map[string]watched{},
		failed:   map[string]bool{},
	}
	go w.sift()
	return w, nil
}

func (w *watcher) close() {
	_ = w.events.Close() // it fails only if it is already closed
	<-w.done
}

func (w *watcher) changes() <-chan struct{} { return w.reports }

// watch implements reporter.
func (w *watcher) watch(paths []string) (added bool) {
	targets := targetsOf(paths)
	select {
	case w.targets <- targets:
	case <-w.done:
		return false
	}
	for directory := range w.watching {
		if _, still := targets[directory]; !still {
			w.forget(directory)
		}
	}
	for directory, entries := range targets {
		isNew, err := w.add(directory, entries)
		if err != nil && !w.failed[directory] {
			w.logger.Info(
				"Directory cannot be watched: changes in it are found at the interval only",
				"directory", directory, "err", err)
		}
		w.failed[directory] = err != nil
		added = added || isNew
	}
	return added
}

func (w *watcher) forget(directory string) {
	_ = w.events.Remove(directory) // it may be gone
	delete(w.watching, directory)
	delete(w.failed, directory)
}

// add watches a directory. It returns true if the directory was not watched before, if some of the
// entries were not, or if its name now stands for another directory.
func (w *watcher) add(directory string, entries names) (isNew bool, err error) {
	before, known := w.watching[directory]
	info, err := os.Stat(directory)
	if err != nil {
		w.forget(directory)
		return false, err
	}
	if known && !os.SameFile(before.info, info) {
		w.forget(directory)
		known = false
	}
	// This is needed for a known directory as well, because its watch ends if the directory is
	// removed for a while.
	if err := w.events.Add(directory); err != nil {
		w.forget(directory)
		return false, err
	}
	w.watching[directory] = watched{entries, info}
	return !known || !before.entries.includes(entries), nil
}

// includes reports whether names contains all the entries.
func (n names) includes(entries names) bool {
	if n == nil {
		return true
	}
	for entry := range entries {
		if !n[entry] {
			return false
		}
	}
	return entries != nil
}

// targetsOf returns the directories to watch for the paths, with the entries to report. A path adds
// its own entry and the entry that its links lead to. A directory adds all its entries.
func targetsOf(paths []string) map[string]names {
	targets := map[string]names{}
	for _, path := range paths {
		path = filepath.Clean(path)
		addEntry(targets, path)
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue
		}
		addEntry(targets, target)
		// The system may report an event under either name.
		if info, err := os.Stat(target); err == nil && info.IsDir() {
			targets[path], targets[target] = nil, nil
		}
	}
	return targets
}

func addEntry(targets map[string]names, path string) {
	directory := filepath.Dir(path)
	entries, known := targets[directory]
	if known && entries == nil {
		return
	}
	if !known {
		entries = names{dataLink: true}
		targets[directory] = entries
	}
	entries[filepath.Base(path)] = true
}

// sift passes on the events about targets.
func (w *watcher) sift() {
	defer close(w.done)
	var targets map[string]names
	for {
		select {
		case targets = <-w.targets:
		case event, open := <-w.events.Events:
			if !open {
				return
			}
			if matters(targets, event.Name) {
				w.report()
			}
		case err, open := <-w.events.Errors:
			if !open {
				return
			}
			w.logger.Info("Events about files were lost: looking at all of them", "err", err)
			w.report()
		}
	}
}

func (w *watcher) report() {
	select {
	case w.reports <- struct{}{}:
	default:
	}
}

// matters reports whether an event is about a target. An event about a watched directory itself
// carries the directory's name.
func matters(targets map[string]names, name string) bool {
	if _, watched := targets[name]; watched {
		return true
	}
	entries, watched := targets[filepath.Dir(name)]
	return watched && (entries == nil || entries[filepath.Base(name)])
}
