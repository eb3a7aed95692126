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

#include "pod.h"

// The fields that lead to containers in a spec of any kind.
enum { job_template, template, init_containers, containers, ephemeral_containers, field_count };

struct spec {
  struct json_field fields[field_count];
};

// read_spec moves into an object and reads its spec.
static struct spec read_spec(struct json *object) {
  struct spec spec = {{
      [job_template] = {.name = "jobTemplate"},
      [template] = {.name = "template"},
      [init_containers] = {.name = "initContainers"},
      [containers] = {.name = "containers"},
      [ephemeral_containers] = {.name = "ephemeralContainers"},
  }};
  if (json_find(object, "spec"))
    json_fields(object, spec.fields, field_count);
  return spec;
}

// read_template reads the spec of a template in an object.
static struct spec read_template(struct json *object, struct span text) {
  struct json in = json_read(text);
  struct spec spec = read_spec(&in);
  if (!json_done(&in))
    object->failed = true;
  return spec;
}

struct pod pod_read(struct json *object) {
  size_t depth = object->depth;
  struct spec spec = read_spec(object);
  json_leave(object, depth);
  if (spec.fields[job_template].value.at != NULL) // a CronJob
    spec = read_template(object, spec.fields[job_template].value);
  if (spec.fields[template].value.at != NULL) // a CronJob or any other workload
    spec = read_template(object, spec.fields[template].value);
  return (struct pod){
      .init_containers = spec.fields[init_containers].value,
      .containers = spec.fields[containers].value,
      .ephemeral_containers = spec.fields[ephemeral_containers].value,
  };
}
