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

// A reader for JSON text that allocates no memory. It is positioned
// before a value, and only moves forward: past the value, or into it and
// from one member to the next. To read the text only once, ask for values
// in the order of the text, or for all fields of an object at once.
//
// The reader trusts nothing. Every read is inside the text, and nesting
// uses no stack. If the text is not JSON, the reader fails: it moves to
// the end of the text, finds nothing more, and json_done returns false.
// It does not prove that skipped values are well formed, except for
// quotes and brackets, because the host has just encoded them.

#ifndef POLICIES_JSON_H
#define POLICIES_JSON_H

#include "span.h"

struct json {
  const char *at; // the next character
  const char *end;
  size_t depth; // number of objects and arrays that the reader is in
  bool first;   // the innermost one was just entered
  bool failed;
};

// json_read returns a reader before the value at the start of a text.
struct json json_read(struct span text);

// json_leave leaves the innermost objects and arrays,
// until the reader is in no more than depth of them.
void json_leave(struct json *in, size_t depth);

// json_done leaves all objects and arrays. It returns whether the text was
// JSON as far as it was checked, with only white space after its value.
bool json_done(struct json *in);

// json_skip moves past a value and returns its text, which is
// absent if there is no value. Like all functions that move
// past a value, it does not skip white space after the value.
// So the value is the text between the old and the new in->at.
struct span json_skip(struct json *in);

// json_find moves into an object and to the value of its first
// field with the name. If there is no such field, or if the value
// is not an object, it moves past the value and returns false.
bool json_find(struct json *in, const char *name);

// json_fields moves past an object, and stores the first value of each
// given field. It is absent if there is no such field, or no object.
struct json_field {
  const char *name;
  struct span value;
};
void json_fields(struct json *in, struct json_field fields[], size_t count);

// json_field does so for one field.
struct span json_field(struct json *in, const char *name);

// json_array moves into an array, and json_object into an object. They move past
// any other value and return false. Then json_element moves to the next element,
// and json_member to the value of the next field. Read the value before the next
// call. After the last one they leave the array or object, and return false.
bool json_array(struct json *in);
bool json_element(struct json *in);
bool json_object(struct json *in);
bool json_member(struct json *in, struct span *name);

// json_is returns whether a string value, such as a field name, equals a text.
bool json_is(struct span string, const char *text);

// json_is_empty_object returns whether a text is an object without fields.
bool json_is_empty_object(struct span text);

// json_string decodes a string value into at most cap bytes, and
// returns their number. It returns -1 if the value is not a string
// or does not fit. An escape for a character outside ASCII becomes
// '?', which is enough for image references, because they are ASCII.
long json_string(struct span value, char *into, size_t cap);

#endif
