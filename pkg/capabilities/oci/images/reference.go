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

package images

import (
	"fmt"
	"regexp"
	"strings"
)

// hub is the default registry of images.
const hub = "docker.io"

// validHost matches the host of an image: a name or an address, with an optional port.
var validHost = regexp.MustCompile(
	`^([a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?$`)

// expand returns the registry and the URI of an image. It completes short names as Docker does:
// busybox is docker.io/library/busybox.
func expand(image string) (host, uri string, err error) {
	name := strings.TrimPrefix(image, "registry://")
	host, rest, found := strings.Cut(name, "/")
	if !found || !namesHost(host) {
		host, rest = hub, name
	}
	host = strings.ToLower(host)
	if host == "index.docker.io" {
		host = hub
	}
	if host == hub && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	if !validHost.MatchString(host) {
		return "", "", fmt.Errorf(
			"image %.200q: %.100q is not a host: write [host[:port]/]repository[:tag][@digest]",
			image, host)
	}
	return host, "registry://" + host + "/" + rest, nil
}

// namesHost reports whether the first part of an image's name is a host. Otherwise, it is part of
// the repository's name.
func namesHost(part string) bool {
	return strings.ContainsAny(part, ".:") || part == "localhost" || strings.ToLower(part) != part
}
