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

// A Kubewarden policy that makes nodes always pull images: it sets
// imagePullPolicy to Always for the containers and init containers of Pods
// and of workloads' Pod templates. A node then asks the registry with the
// Pod's own credentials, even for an image that another Pod already pulled.
//
// It changes the object's text in these places, and keeps everything else unchanged.

#include "json.h"
#include "pod.h"
#include "text.h"
#include "wapc.h"

// A response that is a copy of the object with
// changes. Nothing is written until there is a change.
struct copy {
  struct text text;
  struct span left; // the part of the object that is not copied yet
};

// change copies the object up to a place, and replaces the
// given number of bytes there. Places must be in order.
static void change(struct copy *copy, const char *place, size_t bytes, const char *instead) {
  size_t before = (size_t)(place - copy->left.at);
  if (copy->text.len == 0)
    put(&copy->text, "{\"accepted\":true,\"mutated_object\":");
  put_span(&copy->text, (struct span){copy->left.at, before});
  put(&copy->text, instead);
  copy->left = (struct span){place + bytes, copy->left.len - before - bytes};
}

// change_container sets the field in a container, given as a span of text.
static void change_container(struct copy *copy, struct span container, struct span policy) {
  if (policy.at != NULL) {
    if (!span_equals(policy, "\"Always\""))
      change(copy, policy.at, policy.len, "\"Always\"");
  } else if (json_is_empty_object(container)) {
    change(copy, container.at + 1, 0, "\"imagePullPolicy\":\"Always\"");
  } else if (container.at[0] == '{') {
    change(copy, container.at + 1, 0, "\"imagePullPolicy\":\"Always\",");
  }
}

// change_containers does so for a list of containers, which
// may be absent. It returns whether the list is JSON.
static bool change_containers(struct copy *copy, struct span list) {
  struct json in = json_read(list);
  if (list.at == NULL)
    return true;
  if (json_array(&in))
    while (json_element(&in)) {
      const char *at = in.at;
      struct span policy = json_field(&in, "imagePullPolicy");
      if (!in.failed)
        change_container(copy, (struct span){at, (size_t)(in.at - at)}, policy);
    }
  return json_done(&in);
}

// accept responds with the object and its changes.
static int accept(struct span object, struct pod pod) {
  struct copy copy = {.left = object};
  struct span first = pod.init_containers, second = pod.containers;
  if (first.at > second.at) {
    first = pod.containers;
    second = pod.init_containers;
  }
  if (!change_containers(&copy, first) || !change_containers(&copy, second))
    return fail("the review is not JSON");
  if (copy.text.len == 0)
    return respond("{\"accepted\":true}");
  put_span(&copy.text, copy.left);
  put(&copy.text, "}");
  return text_respond(&copy.text);
}

int validate(struct span payload) {
  struct json review = json_read(payload);
  struct span object = {0};
  struct pod pod = {0};
  if (!json_find(&review, "request"))
    return fail("the review carries no request");
  if (json_find(&review, "object")) {
    object.at = review.at;
    pod = pod_read(&review);
    object.len = (size_t)(review.at - object.at);
  }
  if (!json_done(&review))
    return fail("the review is not JSON");
  return accept(object, pod);
}

int validate_settings(struct span payload) {
  if (json_is_empty_object(payload))
    return respond("{\"valid\":true}");
  return respond("{\"valid\":false,\"message\":\"this policy has no settings\"}");
}
