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

#include "text.h"

#include "wapc.h"

void put_span(struct text *text, struct span from) {
  char *at = take(from.len);
  if (at == NULL) {
    text->failed = true;
    return;
  }
  if (text->at == NULL)
    text->at = at;
  __builtin_memcpy(at, from.at, from.len);
  text->len += from.len;
}

void put(struct text *text, const char *more) { put_span(text, literal(more)); }

void put_escaped(struct text *text, struct span from) {
  size_t written = 0;
  for (size_t i = 0; i < from.len; i++) {
    char c = from.at[i];
    bool quoted = c == '"' || c == '\\', control = (unsigned char)c < 0x20;
    if (!quoted && !control)
      continue;
    put_span(text, (struct span){from.at + written, i - written});
    put(text, control ? "?" : "\\");
    written = control ? i + 1 : i;
  }
  put_span(text, (struct span){from.at + written, from.len - written});
}

static struct span span_of(const struct text *text) { return (struct span){text->at, text->len}; }

int text_respond(const struct text *text) {
  return text->failed ? fail("out of memory") : respond_with(span_of(text));
}

bool text_ask(const char *namespace, const char *operation, const struct text *question, struct span *answer) {
  *answer = literal("out of memory");
  return !question->failed && ask(namespace, operation, span_of(question), answer);
}
