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

#include "wapc.h"

#include <stdint.h>

#define WAPC(name) __attribute__((import_module("wapc"), import_name(name)))

WAPC("__guest_request") void guest_request(char *operation, char *payload);
WAPC("__guest_response") void guest_response(const char *at, size_t len);
WAPC("__guest_error") void guest_error(const char *at, size_t len);
WAPC("__host_call")
int host_call(const char *binding, size_t binding_len, const char *space, size_t space_len, const char *operation,
              size_t operation_len, const char *payload, size_t payload_len);
WAPC("__host_response_len") size_t host_response_len(void);
WAPC("__host_response") void host_response(char *at);
WAPC("__host_error_len") size_t host_error_len(void);
WAPC("__host_error") void host_error(char *at);

// Set by the linker: the end of static data, where free memory starts.
extern char __heap_base;

enum { wasm_page = 65536 };

// The start of free memory in this call, after the memory that was taken.
static char *unused;

char *take(size_t bytes) {
  size_t have = __builtin_wasm_memory_size(0) * wasm_page - (size_t)unused;
  if (bytes > have) {
    if (bytes > SIZE_MAX / 4)
      return NULL;
    size_t pages = (bytes - have + wasm_page - 1) / wasm_page;
    if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX)
      return NULL;
  }
  char *at = unused;
  unused += bytes;
  return at;
}

int respond_with(struct span json) {
  guest_response(json.at, json.len);
  return 1;
}

int respond(const char *json) { return respond_with(literal(json)); }

int fail(const char *message) {
  struct span text = literal(message);
  guest_error(text.at, text.len);
  return 0;
}

bool ask(const char *namespace, const char *operation, struct span payload, struct span *answer) {
  struct span binding = literal("kubewarden"), space = literal(namespace), name = literal(operation);
  bool ok = host_call(binding.at, binding.len, space.at, space.len, name.at, name.len, payload.at, payload.len) == 1;
  size_t len = ok ? host_response_len() : host_error_len();
  char *at = take(len);
  *answer = (struct span){at, at == NULL ? 0 : len};
  if (at == NULL)
    return false;
  if (ok)
    host_response(at);
  else
    host_error(at);
  return ok;
}

// The host calls this once per operation. Operation,
// payload and all derived data are stored in free memory,
// from its start each time. Nothing outlives a call.
__attribute__((export_name("__guest_call"))) int guest_call(size_t operation_len, size_t payload_len) {
  unused = &__heap_base;
  char *name = take(operation_len), *payload = take(payload_len);
  if (name == NULL || payload == NULL)
    return fail("out of memory");
  guest_request(name, payload);

  struct span operation = {name, operation_len};
  if (span_equals(operation, "validate"))
    return validate((struct span){payload, payload_len});
  if (span_equals(operation, "validate_settings"))
    return validate_settings((struct span){payload, payload_len});
  if (span_equals(operation, "protocol_version"))
    return respond("\"v1\"");
  return fail("could not find the operation");
}
