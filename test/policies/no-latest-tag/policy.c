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

// A Kubewarden policy that denies images without a tag or with
// the tag "latest", because both mean the image that was pushed
// last. It admits an image with a digest, whatever its tag.

#include "json.h"
#include "pod.h"
#include "text.h"
#include "wapc.h"

// The maximum length of an image reference. A registry, a path,
// a tag and a digest are shorter. Longer references are denied.
enum { max_image = 1024 };

// is_pinned_or_tagged decides about one image reference.
static bool is_pinned_or_tagged(struct span image) {
  struct span tag = {NULL, 0};
  for (size_t i = 0; i < image.len; i++) {
    char c = image.at[i];
    if (c == '@')
      return true;
    if (c == '/') // A colon before a slash belongs to the registry's port.
      tag.at = NULL;
    else if (c == ':')
      tag = (struct span){image.at + i + 1, image.len - i - 1};
  }
  return tag.at != NULL && tag.len > 0 && !span_equals(tag, "latest");
}

static int refuse(struct span image) {
  struct text answer = {0};
  put(&answer, "{\"accepted\":false,\"message\":\"image '");
  put_escaped(&answer, image);
  put(&answer, "' must have a tag other than 'latest', or a digest\"}");
  return text_respond(&answer);
}

// check_image returns whether a container's image is
// admitted. If not, *answer is the result for the host.
static bool check_image(struct span image, int *answer) {
  char decoded[max_image];
  // A missing image is denied in the same way as an empty one.
  long n = image.at == NULL ? 0 : json_string(image, decoded, sizeof decoded);
  struct span reference = {decoded, (size_t)n};
  if (n < 0)
    *answer = respond("{\"accepted\":false,\"message\":\"an image reference is longer than 1024 bytes or no string\"}");
  else if (!is_pinned_or_tagged(reference))
    *answer = refuse(reference);
  else
    return true;
  return false;
}

// check_containers does so for a list of containers, which may be absent.
static bool check_containers(struct span list, int *answer) {
  struct json in = json_read(list);
  if (list.at == NULL)
    return true;
  if (json_array(&in))
    while (json_element(&in)) {
      struct span image = json_field(&in, "image");
      if (!in.failed && !check_image(image, answer))
        return false;
    }
  if (json_done(&in))
    return true;
  *answer = fail("the review is not JSON");
  return false;
}

int validate(struct span payload) {
  struct json review = json_read(payload);
  struct pod pod = {0};
  if (!json_find(&review, "request"))
    return fail("the review carries no request");
  if (json_find(&review, "object"))
    pod = pod_read(&review);
  if (!json_done(&review))
    return fail("the review is not JSON");

  int answer;
  if (check_containers(pod.init_containers, &answer) && check_containers(pod.containers, &answer) &&
      check_containers(pod.ephemeral_containers, &answer))
    return respond("{\"accepted\":true}");
  return answer;
}

int validate_settings(struct span payload) {
  if (json_is_empty_object(payload))
    return respond("{\"valid\":true}");
  return respond("{\"valid\":false,\"message\":\"this policy has no settings\"}");
}
