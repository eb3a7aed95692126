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

// Command release builds the release artifacts: images for several platforms, as an OCI layout and
// as archives for docker; archives of the programs; and SBOMs in SPDX.
//
// Identical programs produce identical files. Every timestamp is the time of the commit, and
// nothing in the files depends on the machine. No daemon is needed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// defaultRegistry is the registry in the image names of deploy's manifests.
const defaultRegistry = "ghcr.io/wasm-admission"

// release holds the flags.
type release struct {
	// programs has a directory OS-ARCH of static programs for each platform.
	programs string
	// sboms has the SPDX document OS-ARCH/PROGRAM.json of each program.
	sboms string
	// documents are the files that archives contain in addition to a program.
	documents []string
	// manifests is the directory of deployment manifests.
	manifests string
	output    string
	// registry is the prefix of the image names.
	registry string
	version  string
	// date is the time of the commit.
	date      time.Time
	platforms []v1.Platform
	images    []imageName
}

// imageName is a program and the tag of its image.
type imageName struct {
	program, tag string
}

func main() {
	log.SetFlags(0)
	r, err := parse(os.Args[1:])
	if err == nil {
		err = r.write(context.Background())
	}
	if err != nil {
		log.Fatal(err)
	}
}

func parse(arguments []string) (*release, error) {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	r := &release{}
	flags.StringVar(&r.programs, "programs", "", "directory with OS-ARCH/PROGRAM")
	flags.StringVar(&r.sboms, "sboms", "", "directory with OS-ARCH/PROGRAM.json, in SPDX")
	flags.StringVar(&r.manifests, "manifests", "", "directory of manifests")
	flags.StringVar(&r.output, "output", "", "directory to write to")
	flags.StringVar(&r.registry, "registry", defaultRegistry, "prefix of the image names")
	flags.StringVar(&r.version, "version", "", "version in the archives' names")
	date := flags.String("date", "", "time of the commit, in RFC 3339")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64", "platforms, separated by commas")
	documents := flags.String("documents", "", "files to add to the archives, separated by commas")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	var err error
	if r.date, err = time.Parse(time.RFC3339, *date); err != nil {
		return nil, fmt.Errorf("-date: %w", err)
	}
	r.date = r.date.UTC()
	for p := range strings.SplitSeq(*platforms, ",") {
		platform, err := v1.ParsePlatform(p)
		if err != nil {
			return nil, fmt.Errorf("-platforms: %w", err)
		}
		r.platforms = append(r.platforms, *platform)
	}
	if *documents != "" {
		r.documents = strings.Split(*documents, ",")
	}
	for _, argument := range flags.Args() {
		program, tag, ok := strings.Cut(argument, ":")
		if !ok {
			return nil, fmt.Errorf("%q is not PROGRAM:TAG", argument)
		}
		r.images = append(r.images, imageName{program, tag})
	}
	if r.programs == "" || r.sboms == "" || r.manifests == "" || r.output == "" ||
		r.version == "" || len(r.images) == 0 {
		return nil, errors.New(
			"-programs, -sboms, -manifests, -output, -version and at least one PROGRAM:TAG are required")
	}
	return r, nil
}

// write writes all artifacts, and then their checksums.
func (r *release) write(ctx context.Context) error {
	for _, directory := range []string{"images", "sboms"} {
		if err := os.MkdirAll(filepath.Join(r.output, directory), 0o755); err != nil {
			return err
		}
	}
	for _, name := range r.images {
		if err := r.writeImage(ctx, name); err != nil {
			return fmt.Errorf("image of %s: %w", name.program, err)
		}
		if err := r.writeArchives(name.program); err != nil {
			return fmt.Errorf("archives of %s: %w", name.program, err)
		}
	}
	if err := r.writeManifests(); err != nil {
		return fmt.Errorf("archive of manifests: %w", err)
	}
	return writeChecksums(r.output)
}

// directory returns the name of the directory with a platform's files.
func directory(p v1.Platform) string {
	return p.OS + "-" + p.Architecture
}
