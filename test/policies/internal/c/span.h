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

// A part of a text that is stored elsewhere.

#ifndef POLICIES_SPAN_H
#define POLICIES_SPAN_H

#include <stdbool.h>
#include <stddef.h>

// at == NULL means that the span is absent.
struct span {
  const char *at;
  size_t len;
};

// literal returns a null-terminated text as a span.
static inline struct span literal(const char *text) {
  size_t n = 0;
  while (text[n] != '\0')
    n++;
  return (struct span){text, n};
}

static inline bool span_equals(struct span span, const char *text) {
  for (size_t i = 0; i < span.len; i++)
    if (text[i] == '\0' || text[i] != span.at[i])
      return false;
  return text[span.len] == '\0';
}

#endif
