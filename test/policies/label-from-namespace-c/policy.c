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

// A Kubewarden policy that gives objects a label of their namespace. It looks the
// namespace up in the cluster, refuses objects of one without the label or that
// cannot be looked up, and logs what it did.
//
// It changes the object's text in one place and keeps all else byte for byte.

#include <stdint.h>

#include "json.h"

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

// Set by the linker: where static data ends and free memory begins.
extern char __heap_base;

enum { wasm_page = 65536 };

// A name of a label or namespace, as JSON: so long that json_field finds it.
enum { max_name = 63 };

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

// Where free memory begins in this call, behind what was put there.
static char *unused;

// take returns so many bytes of free memory; NULL when there are none.
static char *take(size_t bytes) {
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

// Text that is being written. Whoever begins one takes memory enough.
struct text {
  char *at;
  size_t len;
};

static void put(struct text *text, const char *at, size_t len) {
  for (size_t i = 0; i < len; i++)
    text->at[text->len++] = at[i];
}

static void put_text(struct text *text, const char *more) { put(text, more, length(more)); }

// put_escaped writes the inside of a JSON string, at most two bytes for one.
static void put_escaped(struct text *text, struct span from) {
  for (size_t i = 0; i < from.len; i++) {
    char c = from.at[i];
    if (c == '"' || c == '\\')
      text->at[text->len++] = '\\';
    text->at[text->len++] = (unsigned char)c < 0x20 ? '?' : c;
  }
}

// read_name decodes a name that needs no escapes in JSON and is not empty.
static bool read_name(struct span value, char into[max_name + 1]) {
  long n = json_string(value, into, max_name);
  if (n <= 0)
    return false;
  for (long i = 0; i < n; i++) {
    char c = into[i];
    if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' &&
        c != '-' && c != '/')
      return false;
  }
  into[n] = '\0';
  return true;
}

static const char bad_label[] = "label: the name of a label of at most 63 bytes is required";

// ask calls the host. What it answers, or why it does not, is put into answer.
static bool ask(const char *space, const char *operation, struct text payload, struct span *answer) {
  bool ok = host_call("kubewarden", 10, space, length(space), operation, length(operation), payload.at, payload.len) == 1;
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

// refuse answers with a message that ends with a text of the host's, or none.
static int refuse(const char *code, const char *before, const char *name, const char *after, struct span more) {
  if (more.len > SIZE_MAX / 8)
    return fail("out of memory");
  struct text answer = {take(2 * more.len + 512), 0};
  if (answer.at == NULL)
    return fail("out of memory");
  put_text(&answer, "{\"accepted\":false,\"code\":");
  put_text(&answer, code);
  put_text(&answer, ",\"message\":\"");
  put_text(&answer, before);
  put_text(&answer, name);
  put_text(&answer, after);
  put_escaped(&answer, more);
  put_text(&answer, "\"}");
  guest_response(answer.at, answer.len);
  return 1;
}

// trace logs what is done. A log that fails is no reason to refuse anything.
static void trace(const char *label, const char *namespace) {
  char buffer[256];
  struct text event = {buffer, 0};
  struct span ignored;
  put_text(&event, "{\"level\":\"info\",\"message\":\"label ");
  put_text(&event, label);
  put_text(&event, " is taken from namespace ");
  put_text(&event, namespace);
  put_text(&event, "\"}");
  ask("tracing", "log", event, &ignored);
}

// mutate accepts the object with a label, whose value is given as JSON.
static int mutate(struct span object, const char *label, struct span value) {
  struct span metadata = json_field(object, "metadata");
  struct span labels = json_field(metadata, "labels");
  if (metadata.at == NULL || metadata.at[0] != '{')
    return fail("the object has no metadata");
  // What is replaced, and what is put around the label.
  bool inside = labels.at != NULL && labels.at[0] == '{';
  const char *place = inside ? labels.at + 1 : labels.at != NULL ? labels.at : metadata.at + 1;
  size_t replaced = inside || labels.at == NULL ? 0 : labels.len;
  const char *before = inside ? "" : labels.at != NULL ? "{" : "\"labels\":{";
  const char *behind = inside ? (json_is_empty_object(labels) ? "" : ",")
                       : labels.at != NULL ? "}" : json_is_empty_object(metadata) ? "}" : "},";

  struct text answer = {take(object.len + value.len + 256), 0};
  if (answer.at == NULL)
    return fail("out of memory");
  put_text(&answer, "{\"accepted\":true,\"mutated_object\":");
  put(&answer, object.at, (size_t)(place - object.at));
  put_text(&answer, before);
  put_text(&answer, "\"");
  put_text(&answer, label);
  put_text(&answer, "\":");
  put(&answer, value.at, value.len);
  put_text(&answer, behind);
  put(&answer, place + replaced, (size_t)(object.at + object.len - place) - replaced);
  put_text(&answer, "}");
  guest_response(answer.at, answer.len);
  return 1;
}

static int validate(struct span payload) {
  char label[max_name + 1], namespace[max_name + 1];
  struct span review = json_value(payload), request = json_field(review, "request");
  if (request.at == NULL)
    return fail("the review carries no request");
  if (!read_name(json_field(json_field(review, "settings"), "label"), label))
    return fail(bad_label);
  struct span operation = json_field(request, "operation"), in = json_field(request, "namespace");
  bool writes = equals(operation, "\"CREATE\"") || equals(operation, "\"UPDATE\"");
  if (!writes || in.at == NULL || equals(in, "\"\"")) {
    respond("{\"accepted\":true}");
    return 1;
  }
  if (!read_name(in, namespace))
    return fail("the namespace of the request has no valid name");

  char buffer[256];
  struct text question = {buffer, 0};
  put_text(&question, "{\"api_version\":\"v1\",\"kind\":\"Namespace\",\"name\":\"");
  put_text(&question, namespace);
  put_text(&question, "\",\"namespace\":null,\"disable_cache\":false}");
  struct span answer, none = {NULL, 0};
  if (!ask("kubernetes", "get_resource", question, &answer))
    return refuse("500", "looking up namespace ", namespace, ": ", answer);
  struct span value = json_field(json_field(json_field(json_value(answer), "metadata"), "labels"), label);
  if (value.at == NULL || value.at[0] != '"')
    return refuse("403", "namespace ", namespace, " has no label ", (struct span){label, length(label)});

  struct span object = json_field(request, "object");
  if (json_field(json_field(json_field(object, "metadata"), "labels"), label).at != none.at) {
    respond("{\"accepted\":true}");
    return 1;
  }
  trace(label, namespace);
  return mutate(object, label, value);
}

static int validate_settings(struct span payload) {
  char label[max_name + 1];
  if (read_name(json_field(json_value(payload), "label"), label))
    respond("{\"valid\":true}");
  else
    respond("{\"valid\":false,\"message\":\"label: the name of a label of at most 63 bytes is required\"}");
  return 1;
}

// The host calls this once per operation. Operation, payload and what is made of
// it lie one after the other in free memory, from its beginning each time:
// nothing outlives a call.
__attribute__((export_name("__guest_call"))) int guest_call(size_t operation_len, size_t payload_len) {
  unused = &__heap_base;
  struct span operation = {take(operation_len), operation_len};
  struct span payload = {take(payload_len), payload_len};
  if (operation.at == NULL || payload.at == NULL)
    return fail("out of memory");
  guest_request((char *)operation.at, (char *)payload.at);

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
