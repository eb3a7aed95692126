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

// Finds the images in a Kubernetes object.

import { JSON } from "assemblyscript-json/assembly";

/**
 * Lists the images of an object in the order of its fields: those of a Pod, or
 * of the pod template of a workload. An object with neither has none.
 */
export function imagesOf(object: JSON.Obj): string[] {
  const images = new Array<string>();
  const pod = podSpec(object);
  if (pod == null) {
    return images;
  }
  collect(pod, "initContainers", images);
  collect(pod, "containers", images);
  collect(pod, "ephemeralContainers", images);
  collectVolumes(pod, images);
  return images;
}

function podSpec(object: JSON.Obj): JSON.Obj | null {
  const spec = object.getObj("spec");
  if (spec == null) {
    return null;
  }
  const job = spec.getObj("jobTemplate"); // CronJob
  if (job != null) {
    return podSpec(job);
  }
  const template = spec.getObj("template"); // every other workload
  return template == null ? spec : template.getObj("spec");
}

function collect(pod: JSON.Obj, field: string, images: string[]): void {
  const containers = pod.getArr(field);
  if (containers == null) {
    return;
  }
  const elements = containers.valueOf();
  for (let i = 0; i < elements.length; i++) {
    const container = elements[i];
    if (!(container instanceof JSON.Obj)) {
      continue;
    }
    // The server refuses a container without an image, unless a
    // controller sets it. The empty reference below is in no registry.
    const image = (container as JSON.Obj).getString("image");
    images.push(image == null ? "" : image.valueOf());
  }
}

// Image volumes mount an image's files into a pod.
function collectVolumes(pod: JSON.Obj, images: string[]): void {
  const volumes = pod.getArr("volumes");
  if (volumes == null) {
    return;
  }
  const elements = volumes.valueOf();
  for (let i = 0; i < elements.length; i++) {
    const volume = elements[i];
    if (!(volume instanceof JSON.Obj)) {
      continue;
    }
    const source = (volume as JSON.Obj).getObj("image");
    if (source == null) {
      continue;
    }
    const reference = source.getString("reference");
    if (reference != null) {
      images.push(reference.valueOf());
    }
  }
}
