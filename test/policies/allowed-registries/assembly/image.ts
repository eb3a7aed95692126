// Copyright The WasmAdmission Authors.
//
// Licensed under the Apache License, Version 2.0 (the "License");
// you may not use this file except in compliance with the License.
// You may obtain a copy of the License at
//
//     http://www.apache.org/licenses/LICENSE-2.0
//
// Unless required by applicable law or agreed to in writing, software
// distributed under the License is distributed on an "AS IS" BASIS,
// WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
// See the License for the specific language governing permissions and
// limitations under the License.

// Image references, as container runtimes parse them.

const DOCKER_HUB = "docker.io";

/**
 * Spells out what a reference leaves to convention: without a registry it
 * means Docker Hub, and a Docker Hub image without a namespace is in
 * "library". "nginx:1.29" becomes "docker.io/library/nginx:1.29".
 */
export function canonical(image: string): string {
  const slash = image.indexOf("/");
  const first = slash < 0 ? "" : image.substring(0, slash);
  const isRegistry = first.includes(".") || first.includes(":") || first == "localhost";
  let registry = isRegistry ? first : DOCKER_HUB;
  let path = isRegistry ? image.substring(slash + 1) : image;

  if (registry == "index.docker.io") {
    registry = DOCKER_HUB;
  }
  if (registry == DOCKER_HUB && !path.includes("/")) {
    path = "library/" + path;
  }
  return registry + "/" + path;
}

/**
 * Says whether a canonical image lies below one of the registries. An entry is
 * a registry ("ghcr.io") or a registry and a path ("ghcr.io/acme"); it matches
 * whole segments, so "ghcr.io/acme" does not admit "ghcr.io/acme-evil/x".
 */
export function isAllowed(image: string, registries: string[]): bool {
  for (let i = 0; i < registries.length; i++) {
    if (image.startsWith(registries[i] + "/")) {
      return true;
    }
  }
  return false;
}
