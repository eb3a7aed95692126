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

// Release lays out what is installed: images for several platforms, as an OCI
// layout and as archives for docker, archives of the programs, and what they are
// made of (SBOMs, in SPDX).
//
// Equal programs make equal files: every time in them is that of the commit, and
// nothing else of the machine that ran it goes in. No daemon is needed.
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

// defaultRegistry is what the names of images in the manifests of deploy begin with.
const defaultRegistry = "ghcr.io/wasm-admission"

// release is what the flags say.
type release struct {
	// programs has a directory OS-ARCH of static programs for each platform.
	programs string
	// sboms has the SPDX document OS-ARCH/PROGRAM.json of each program.
	sboms string
	// documents are the files that archives hold beside a program.
	documents []string
	// manifests is the directory of the files that clusters are set up by.
	manifests string
	output    string
	// registry is what the names of the images begin with.
	registry string
	version  string
	// date is that of the commit.
	date      time.Time
	platforms []v1.Platform
	images    []imageName
}

// imageName is a program that gets an image, and the image's tag.
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
	flags.StringVar(&r.registry, "registry", defaultRegistry, "what the images' names begin with")
	flags.StringVar(&r.version, "version", "", "the version that archives are named by")
	date := flags.String("date", "", "time of the commit, in RFC 3339")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64", "platforms, with commas")
	documents := flags.String("documents", "", "files that go into archives, with commas")
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
			return nil, fmt.Errorf("%q is no PROGRAM:TAG", argument)
		}
		r.images = append(r.images, imageName{program, tag})
	}
	if r.programs == "" || r.sboms == "" || r.manifests == "" || r.output == "" ||
		r.version == "" || len(r.images) == 0 {
		return nil,
			errors.New(
				"-programs, -sboms, -manifests, -output, -version and at least one PROGRAM:TAG are required")
	}
	return r, nil
}

// write makes everything, then the list of checksums.
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

// directory is what a platform's files lie in.
func directory(p v1.Platform) string {
	return p.OS + "-" + p.Architecture
}
