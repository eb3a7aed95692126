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

package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// writeArchives writes, for each platform, a compressed archive of a program and the documents.
func (r *release) writeArchives(program string) error {
	for _, platform := range r.platforms {
		name := fmt.Sprintf("%s-%s-%s", program, r.version, directory(platform))
		files := []file{{path: name + "/", mode: 0o755}}
		for _, path := range append([]string{
			filepath.Join(r.programs, directory(platform), program),
		}, r.documents...) {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			mode := int64(0o644)
			if filepath.Base(path) == program {
				mode = 0o755
			}
			files = append(files,
				file{path: name + "/" + filepath.Base(path), mode: mode, content: content})
		}
		if err := r.writeArchive(name, files); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) writeArchive(name string, files []file) error {
	archive, err := archiveOf(files, r.date)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(archive); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.output, name+".tar.gz"), b.Bytes(), 0o644)
}

// writeManifests writes an archive of the deployment manifests, with image tags of this release.
func (r *release) writeManifests() error {
	name := "manifests-" + r.version
	files := []file{{path: name + "/", mode: 0o755}}
	err := filepath.WalkDir(r.manifests, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == r.manifests {
			return err
		}
		relative, err := filepath.Rel(r.manifests, path)
		if err != nil {
			return err
		}
		relative = name + "/" + filepath.ToSlash(relative)
		if entry.IsDir() {
			files = append(files, file{path: relative + "/", mode: 0o755})
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, image := range r.images {
			shipped := regexp.MustCompile(regexp.QuoteMeta(defaultRegistry+"/"+image.program) +
				`:[\w.-]+`)
			content = shipped.ReplaceAllLiteral(content,
				[]byte(r.registry+"/"+image.program+":"+image.tag))
		}
		files = append(files, file{path: relative, mode: 0o644, content: content})
		return nil
	})
	if err != nil {
		return err
	}
	return r.writeArchive(name, files)
}

// writeChecksums writes SHA256SUMS, in the format of sha256sum, for all files below a directory. It
// leaves out OCI layouts, whose own digests protect them.
func writeChecksums(directory string) error {
	const sums = "SHA256SUMS"
	var b strings.Builder
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasSuffix(path, ".oci"):
			return filepath.SkipDir
		case entry.IsDir() || entry.Name() == sums:
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(content), filepath.ToSlash(relative))
		return nil
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(directory, sums), []byte(b.String()), 0o644)
}
