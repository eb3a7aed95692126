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

// A Kubewarden policy that copies a label from the namespace to objects. It
// looks the namespace up in the cluster, and logs what it does. It denies an
// object if the lookup fails, or if the namespace does not have the label.
//
// It changes the object's text in one place, and keeps everything else unchanged.

#include "json.h"
#include "text.h"
#include "wapc.h"

// The maximum length of a label or namespace name, which the JSON reader supports.
enum { max_name = 63 };

// read_name decodes a nonempty name that needs no escapes in JSON.
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

#define BAD_LABEL "label: the name of a label of at most 63 bytes is required"

// field returns the value of a field in an
// object, both as text, and reads no further.
static struct span field(struct span object, const char *name) {
  struct json in = json_read(object);
  return json_find(&in, name) ? json_skip(&in) : (struct span){0};
}

// whole_field reads the whole object, which may be
// absent, and clears is_json if it is not JSON.
static struct span whole_field(struct span object, const char *name, bool *is_json) {
  struct json in = json_read(object);
  if (object.at == NULL)
    return object;
  struct span value = json_field(&in, name);
  *is_json = json_done(&in) && *is_json;
  return value;
}

static int refuse(const char *code, const char *before, const char *name, const char *after, struct span more) {
  struct text answer = {0};
  put(&answer, "{\"accepted\":false,\"code\":");
  put(&answer, code);
  put(&answer, ",\"message\":\"");
  put(&answer, before);
  put(&answer, name);
  put(&answer, after);
  put_escaped(&answer, more);
  put(&answer, "\"}");
  return text_respond(&answer);
}

// look_up looks a namespace up. It stores
// the host's answer or error in answer.
static bool look_up(const char *namespace, struct span *answer) {
  struct text question = {0};
  put(&question, "{\"api_version\":\"v1\",\"kind\":\"Namespace\",\"name\":\"");
  put(&question, namespace);
  put(&question, "\",\"namespace\":null,\"disable_cache\":false}");
  return text_ask("kubernetes", "get_resource", &question, answer);
}

// trace logs a change. A failed log is not a reason to deny a request.
static void trace(const char *label, const char *namespace) {
  struct text event = {0};
  struct span ignored;
  put(&event, "{\"level\":\"info\",\"message\":\"label ");
  put(&event, label);
  put(&event, " is taken from namespace ");
  put(&event, namespace);
  put(&event, "\"}");
  text_ask("tracing", "log", &event, &ignored);
}

// label_of returns a label of the namespace in the host's answer, as JSON. It
// is absent if there is no such label, or if the answer is not a namespace.
static struct span label_of(struct span answer, const char *label) {
  struct json in = json_read(answer);
  struct span namespace = json_skip(&in);
  struct span value = field(field(field(namespace, "metadata"), "labels"), label);
  return json_done(&in) && value.at != NULL && value.at[0] == '"' ? value : (struct span){0};
}

// mutate accepts the object with a label added. The value is given as JSON.
static int mutate(struct span object, struct span metadata, struct span labels, const char *label, struct span value) {
  // Find the text to replace, and the text to put around the label.
  bool inside = labels.at != NULL && labels.at[0] == '{';
  const char *place = inside ? labels.at + 1 : labels.at != NULL ? labels.at : metadata.at + 1;
  size_t replaced = inside || labels.at == NULL ? 0 : labels.len;
  const char *before = inside ? "" : labels.at != NULL ? "{" : "\"labels\":{";
  const char *behind = inside ? (json_is_empty_object(labels) ? "" : ",")
                       : labels.at != NULL ? "}" : json_is_empty_object(metadata) ? "}" : "},";
  const char *rest = place + replaced, *end = object.at + object.len;

  struct text answer = {0};
  put(&answer, "{\"accepted\":true,\"mutated_object\":");
  put_span(&answer, (struct span){object.at, (size_t)(place - object.at)});
  put(&answer, before);
  put(&answer, "\"");
  put(&answer, label);
  put(&answer, "\":");
  put_span(&answer, value);
  put(&answer, behind);
  put_span(&answer, (struct span){rest, (size_t)(end - rest)});
  put(&answer, "}");
  return text_respond(&answer);
}

// label_object decides about an object in a namespace.
static int label_object(struct span object, const char *namespace, const char *label) {
  struct span answer;
  if (!look_up(namespace, &answer))
    return refuse("500", "looking up namespace ", namespace, ": ", answer);
  struct span value = label_of(answer, label);
  if (value.at == NULL)
    return refuse("403", "namespace ", namespace, " has no label ", literal(label));
  struct span metadata = field(object, "metadata");
  bool is_json = true;
  struct span labels = whole_field(metadata, "labels", &is_json);
  struct span present = whole_field(labels, label, &is_json);
  if (metadata.at == NULL || metadata.at[0] != '{' || !is_json)
    return fail("the object has no metadata");
  if (present.at != NULL)
    return respond("{\"accepted\":true}");
  trace(label, namespace);
  return mutate(object, metadata, labels, label, value);
}

// The fields of the request that are read.
enum { operation, of_namespace, object, request_fields };

// read_review reads these fields and the setting. It returns
// whether the review is JSON and contains a request.
static bool read_review(struct span payload, struct json_field request[request_fields], struct json_field *setting) {
  struct json in = json_read(payload);
  struct span name;
  bool found = false;
  if (json_object(&in))
    while (json_member(&in, &name)) {
      if (!found && json_is(name, "request")) {
        json_fields(&in, request, request_fields);
        found = true;
      } else if (json_is(name, "settings")) {
        json_fields(&in, setting, 1);
      } else {
        json_skip(&in);
      }
    }
  return json_done(&in) && found;
}

int validate(struct span payload) {
  char label[max_name + 1], namespace[max_name + 1];
  struct json_field setting = {.name = "label"};
  struct json_field request[] = {
      [operation] = {.name = "operation"},
      [of_namespace] = {.name = "namespace"},
      [object] = {.name = "object"},
  };
  if (!read_review(payload, request, &setting))
    return fail("the review carries no request");
  if (!read_name(setting.value, label))
    return fail(BAD_LABEL);
  struct span asked = request[operation].value, in = request[of_namespace].value;
  bool writes = span_equals(asked, "\"CREATE\"") || span_equals(asked, "\"UPDATE\"");
  if (!writes || in.at == NULL || span_equals(in, "\"\""))
    return respond("{\"accepted\":true}");
  if (!read_name(in, namespace))
    return fail("the namespace of the request has no valid name");
  return label_object(request[object].value, namespace, label);
}

int validate_settings(struct span payload) {
  char label[max_name + 1];
  struct json in = json_read(payload);
  if (read_name(json_field(&in, "label"), label) && json_done(&in))
    return respond("{\"valid\":true}");
  return respond("{\"valid\":false,\"message\":\"" BAD_LABEL "\"}");
}
