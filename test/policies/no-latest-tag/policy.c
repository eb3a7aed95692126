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

// A Kubewarden policy that refuses images without a tag or with the tag
// "latest": both mean whatever was pushed last. An image that is pinned by
// digest is admitted whatever its tag.

#include <stdint.h>

#include "json.h"

#define WAPC(name) __attribute__((import_module("wapc"), import_name(name)))

WAPC("__guest_request") void guest_request(char *operation, char *payload);
WAPC("__guest_response") void guest_response(const char *at, size_t len);
WAPC("__guest_error") void guest_error(const char *at, size_t len);

// Set by the linker: where static data ends and free memory begins.
extern char __heap_base;

enum { wasm_page = 65536 };

// The longest image reference that is read: a registry, a path, a tag and a
// digest come to less. A longer one is refused.
enum { max_image = 1024 };

static size_t length(const char *text) {
  size_t n = 0;
  while (text[n] != '\0')
    n++;
  return n;
}

static void respond(const char *json) { guest_response(json, length(json)); }

static int fail(const char *message) {
  guest_error(message, length(message));
  return 0;
}

static bool equals(struct span text, const char *literal) {
  for (size_t i = 0; i < text.len; i++)
    if (literal[i] == '\0' || literal[i] != text.at[i])
      return false;
  return literal[text.len] == '\0';
}

// is_pinned_or_tagged decides on one image reference.
static bool is_pinned_or_tagged(struct span image) {
  struct span tag = {NULL, 0};
  for (size_t i = 0; i < image.len; i++) {
    char c = image.at[i];
    if (c == '@')
      return true;
    if (c == '/') // A colon before a slash is that of a registry's port.
      tag.at = NULL;
    else if (c == ':')
      tag = (struct span){image.at + i + 1, image.len - i - 1};
  }
  return tag.at != NULL && tag.len > 0 && !equals(tag, "latest");
}

// A refusal is put together here; an image is at most max_image bytes, each of
// which is written as one or two.
static char refusal[2 * max_image + 128];

static size_t append(size_t n, const char *text) {
  while (*text != '\0')
    refusal[n++] = *text++;
  return n;
}

static void refuse(struct span image) {
  size_t n = append(0, "{\"accepted\":false,\"message\":\"image '");
  for (size_t i = 0; i < image.len; i++) {
    char c = image.at[i];
    if (c == '"' || c == '\\')
      refusal[n++] = '\\';
    refusal[n++] = (unsigned char)c < 0x20 ? '?' : c;
  }
  n = append(n, "' must have a tag other than 'latest', or a digest\"}");
  guest_response(refusal, n);
}

// check_containers refuses the first image of a list that must not pass, and
// says whether there was none.
static bool check_containers(struct span containers) {
  char decoded[max_image];
  struct span rest = json_elements(containers);
  for (struct span c = json_next(&rest); c.at != NULL; c = json_next(&rest)) {
    struct span image = json_field(c, "image");
    // A list that leaves the image out gets the same refusal as an empty one.
    long n = image.at == NULL ? 0 : json_string(image, decoded, sizeof decoded);
    if (n < 0) {
      respond("{\"accepted\":false,\"message\":\"an image reference is longer than 1024 bytes or no string\"}");
      return false;
    }
    struct span reference = {decoded, (size_t)n};
    if (!is_pinned_or_tagged(reference)) {
      refuse(reference);
      return false;
    }
  }
  return true;
}

// pod_spec finds the pod spec of a Pod, of a CronJob or of any other workload;
// absent for an object that has none.
static struct span pod_spec(struct span object) {
  struct span spec = json_field(object, "spec");
  struct span job = json_field(spec, "jobTemplate");
  if (job.at != NULL)
    spec = json_field(job, "spec");
  struct span template = json_field(spec, "template");
  return template.at == NULL ? spec : json_field(template, "spec");
}

static int validate(struct span payload) {
  struct span request = json_field(json_value(payload), "request");
  if (request.at == NULL)
    return fail("the review carries no request");
  struct span pod = pod_spec(json_field(request, "object"));
  if (check_containers(json_field(pod, "initContainers")) &&
      check_containers(json_field(pod, "containers")) &&
      check_containers(json_field(pod, "ephemeralContainers")))
    respond("{\"accepted\":true}");
  return 1;
}

static int validate_settings(struct span payload) {
  if (json_is_empty_object(json_value(payload)))
    respond("{\"valid\":true}");
  else
    respond("{\"valid\":false,\"message\":\"this policy has no settings\"}");
  return 1;
}

// reserve makes sure that free memory has room for so many bytes.
static bool reserve(size_t bytes) {
  size_t have = __builtin_wasm_memory_size(0) * wasm_page - (size_t)&__heap_base;
  if (bytes <= have)
    return true;
  size_t pages = (bytes - have + wasm_page - 1) / wasm_page;
  return __builtin_wasm_memory_grow(0, pages) != SIZE_MAX;
}

// The host calls this once per operation. Operation and payload lie one after
// the other in free memory, from its beginning each time: nothing outlives a
// call.
__attribute__((export_name("__guest_call"))) int guest_call(size_t operation_len, size_t payload_len) {
  if (payload_len > SIZE_MAX / 2 || operation_len > SIZE_MAX / 4 || !reserve(operation_len + payload_len))
    return fail("out of memory");
  struct span operation = {&__heap_base, operation_len};
  struct span payload = {&__heap_base + operation_len, payload_len};
  guest_request(&__heap_base, &__heap_base + operation_len);

  if (equals(operation, "validate"))
    return validate(payload);
  if (equals(operation, "validate_settings"))
    return validate_settings(payload);
  if (equals(operation, "protocol_version")) {
    respond("\"v1\"");
    return 1;
  }
  return fail("could not find the operation");
}
