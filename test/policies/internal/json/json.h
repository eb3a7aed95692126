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

// A reader for JSON text that needs no memory of its own: a value is a span of
// the text, and finding a field walks that span.
//
// It trusts nothing. Every read is inside the span, nesting costs no stack,
// and text that is not JSON ends in an absent span, never in a wild read. What
// it does not do is prove that text is well formed: the host that sends it has
// just encoded it.

#ifndef POLICIES_JSON_H
#define POLICIES_JSON_H

#include <stdbool.h>
#include <stddef.h>

// A piece of text. at == NULL says that there is none.
struct span {
  const char *at;
  size_t len;
};

// json_value returns the value at the beginning of a text, without white space
// around it; absent when there is none or it has no end.
struct span json_value(struct span text);

// json_field returns the value of a field of an object; absent when the value
// is not an object or has no such field. The first field of that name counts.
struct span json_field(struct span object, const char *name);

// json_next returns the first element of what is left of an array and moves
// rest behind it. Begin with rest = json_elements(array).
struct span json_next(struct span *rest);
struct span json_elements(struct span array);

// json_is_empty_object says whether a value is an object without fields.
bool json_is_empty_object(struct span value);

// json_string decodes a string value into at most cap bytes and returns their
// number; -1 when the value is not a string or does not fit. An escape for a
// character outside ASCII becomes '?', which is enough for image references:
// they are ASCII.
long json_string(struct span value, char *into, size_t cap);

#endif
