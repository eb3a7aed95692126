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

// Text that a policy writes, as a response or for a host call. It grows
// in free memory, so nothing else may take memory until it is finished.

#ifndef POLICIES_TEXT_H
#define POLICIES_TEXT_H

#include "span.h"

// Start with {0}. at == NULL means that nothing was written
// yet, and failed means that there was not enough memory.
struct text {
  char *at;
  size_t len;
  bool failed;
};

void put(struct text *text, const char *more);
void put_span(struct text *text, struct span from);

// put_escaped writes the content of a JSON string. Control characters become '?'.
void put_escaped(struct text *text, struct span from);

// text_respond sends the text as the response, and text_ask
// as a host call. See respond_with and ask in wapc.h.
int text_respond(const struct text *text);
bool text_ask(const char *namespace, const char *operation, const struct text *question, struct span *answer);

#endif
