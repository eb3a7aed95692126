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

// A Kubewarden policy that has images pulled always: it sets imagePullPolicy to
// Always for the containers and init containers of Pods, and of workloads' pod
// templates. A node then asks the registry, with the Pod's own credentials, for
// an image that another Pod left there.
//
// It changes the object's text in those places and keeps all else byte for byte.

#include <stdint.h>

#include "json.h"

#define WAPC(name) __attribute__((import_module("wapc"), import_name(name)))

WAPC("__guest_request") void guest_request(char *operation, char *payload);
WAPC("__guest_response") void guest_response(const char *at, size_t len);
WAPC("__guest_error") void guest_error(const char *at, size_t len);

// Set by the linker: where static data ends and free memory begins.
extern char __heap_base;

enum { wasm_page = 65536 };

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

// reserve makes sure that free memory has room for so many bytes.
static bool reserve(size_t bytes) {
  size_t have = __builtin_wasm_memory_size(0) * wasm_page - (size_t)&__heap_base;
  if (bytes <= have)
    return true;
  size_t pages = (bytes - have + wasm_page - 1) / wasm_page;
  return __builtin_wasm_memory_grow(0, pages) != SIZE_MAX;
}

// A copy of a text with changes. Without a place to write to, at == NULL, it
// only counts: the copy is made twice, the second time into memory of that size.
struct copy {
  struct span left; // what of the text is to be copied yet
  char *at;
  size_t len;
  size_t changes;
};

static void put(struct copy *copy, const char *text, size_t len) {
  for (size_t i = 0; copy->at != NULL && i < len; i++)
    copy->at[copy->len + i] = text[i];
  copy->len += len;
}

// change copies up to a place in the text and puts something there instead of
// what has that many bytes. Places must come in their order.
static void change(struct copy *copy, const char *place, size_t bytes, const char *instead) {
  size_t before = (size_t)(place - copy->left.at);
  put(copy, copy->left.at, before);
  put(copy, instead, length(instead));
  copy->left = (struct span){place + bytes, copy->left.len - before - bytes};
  copy->changes++;
}

// change_containers sets the field of every container of a list.
static void change_containers(struct copy *copy, struct span containers) {
  struct span rest = json_elements(containers);
  for (struct span c = json_next(&rest); c.at != NULL; c = json_next(&rest)) {
    struct span policy = json_field(c, "imagePullPolicy");
    if (policy.at != NULL) {
      if (!equals(policy, "\"Always\""))
        change(copy, policy.at, policy.len, "\"Always\"");
    } else if (json_is_empty_object(c)) {
      change(copy, c.at + 1, 0, "\"imagePullPolicy\":\"Always\"");
    } else if (c.at[0] == '{') {
      change(copy, c.at + 1, 0, "\"imagePullPolicy\":\"Always\",");
    }
  }
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

// respond_with copies the object with its changes into a response.
static struct copy respond_with(struct span object, char *at) {
  struct copy copy = {object, at, 0, 0};
  struct span pod = pod_spec(object);
  struct span first = json_field(pod, "initContainers"), second = json_field(pod, "containers");
  if (first.at > second.at) {
    struct span later = first;
    first = second;
    second = later;
  }
  const char *begin = "{\"accepted\":true,\"mutated_object\":";
  put(&copy, begin, length(begin));
  change_containers(&copy, first);
  change_containers(&copy, second);
  put(&copy, copy.left.at, copy.left.len);
  put(&copy, "}", 1);
  return copy;
}

// validate is called with the payload in free memory, up to end.
static int validate(struct span payload, char *end) {
  struct span request = json_field(json_value(payload), "request");
  if (request.at == NULL)
    return fail("the review carries no request");
  struct span object = json_field(request, "object");
  struct copy counted = respond_with(object, NULL);
  if (counted.changes == 0) {
    respond("{\"accepted\":true}");
    return 1;
  }
  if (counted.len > SIZE_MAX / 4 || !reserve((size_t)(end - &__heap_base) + counted.len))
    return fail("out of memory");
  struct copy written = respond_with(object, end);
  guest_response(written.at, written.len);
  return 1;
}

static int validate_settings(struct span payload) {
  if (json_is_empty_object(json_value(payload)))
    respond("{\"valid\":true}");
  else
    respond("{\"valid\":false,\"message\":\"this policy has no settings\"}");
  return 1;
}

// The host calls this once per operation. Operation, payload and what is made of
// it lie one after the other in free memory, from its beginning each time:
// nothing outlives a call.
__attribute__((export_name("__guest_call"))) int guest_call(size_t operation_len, size_t payload_len) {
  if (payload_len > SIZE_MAX / 4 || operation_len > SIZE_MAX / 4 || !reserve(operation_len + payload_len))
    return fail("out of memory");
  struct span operation = {&__heap_base, operation_len};
  struct span payload = {&__heap_base + operation_len, payload_len};
  guest_request(&__heap_base, &__heap_base + operation_len);

  if (equals(operation, "validate"))
    return validate(payload, &__heap_base + operation_len + payload_len);
  if (equals(operation, "validate_settings"))
    return validate_settings(payload);
  if (equals(operation, "protocol_version")) {
    respond("\"v1\"");
    return 1;
  }
  return fail("could not find the operation");
}
