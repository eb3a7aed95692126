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

// A reader for JSON text that needs no memory of its own. It stands in front of a
// value and only ever moves forward: past the value, or into it and from one
// member to the next. Who asks for what is needed in the order of the text, or
// for all fields of an object at once, has the text walked once.
//
// It trusts nothing. Every read is inside the text and nesting costs no stack.
// Where the text is not JSON the reader has failed: it stands at the end of the
// text, finds nothing more, and json_done says no. What it does not do is prove
// that values which it moves past are well formed, beyond their quotes and
// brackets: the host that sends them has just encoded them.

#ifndef POLICIES_JSON_H
#define POLICIES_JSON_H

#include "span.h"

struct json {
  const char *at; // what is read next
  const char *end;
  size_t depth; // of the objects and arrays that the reader is in
  bool first;   // the innermost one was just entered
  bool failed;
};

// json_read returns a reader in front of the value at the beginning of a text.
struct json json_read(struct span text);

// json_leave moves out of the innermost objects and arrays, so that no more than
// depth are left that the reader is in.
void json_leave(struct json *in, size_t depth);

// json_done leaves them all, and says whether the text was JSON as far as that was
// looked at, with nothing but white space behind its value.
bool json_done(struct json *in);

// json_skip moves past a value and returns its text; absent when there is none.
// This and every other function that moves past a value does so without looking for
// what is behind it, so that the text from where in->at was to where it is then is
// the value.
struct span json_skip(struct json *in);

// json_find moves into an object and to the value of its first field of that name.
// Without one, or when the value is not an object, it moves past the value and
// returns false.
bool json_find(struct json *in, const char *name);

// json_fields moves past an object and notes the values of some of its fields: of
// each the first, absent when there is none or the value is not an object.
struct json_field {
  const char *name;
  struct span value;
};
void json_fields(struct json *in, struct json_field fields[], size_t count);

// json_field does so for one field.
struct span json_field(struct json *in, const char *name);

// json_array moves into an array, json_object into an object; past a value of
// another kind, and return false. From there json_element moves to the next element
// and json_member to the value of the next field. It has to be read before they are
// called again. Behind the last they move out, and return false.
bool json_array(struct json *in);
bool json_element(struct json *in);
bool json_object(struct json *in);
bool json_member(struct json *in, struct span *name);

// json_is says whether a string value, such as the name of a field, is a text.
bool json_is(struct span string, const char *text);

// json_is_empty_object says whether a text is an object without fields.
bool json_is_empty_object(struct span text);

// json_string decodes a string value into at most cap bytes and returns their
// number; -1 when the value is not a string or does not fit. An escape for a
// character outside ASCII becomes '?', which is enough for image references:
// they are ASCII.
long json_string(struct span value, char *into, size_t cap);

#endif
