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

#include "json.h"

static const struct span absent = {NULL, 0};

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static struct span skip(struct span text, size_t n) {
  return (struct span){text.at + n, text.len - n};
}

static struct span skip_space(struct span text) {
  while (text.len > 0 && is_space(text.at[0]))
    text = skip(text, 1);
  return text;
}

// string_length counts the bytes of the string at the beginning of a text,
// quotes included; 0 when it has no end.
static size_t string_length(struct span text) {
  for (size_t i = 1; i < text.len; i++) {
    if (text.at[i] == '\\')
      i++;
    else if (text.at[i] == '"')
      return i + 1;
  }
  return 0;
}

// nested_length counts the bytes of the object or array at the beginning of a
// text; 0 when it has no end. Counting depth instead of recursing keeps deep
// nesting from exhausting the stack.
static size_t nested_length(struct span text) {
  size_t depth = 0;
  for (size_t i = 0; i < text.len;) {
    char c = text.at[i];
    if (c == '"') {
      size_t n = string_length(skip(text, i));
      if (n == 0)
        return 0;
      i += n;
      continue;
    }
    i++;
    if (c == '{' || c == '[')
      depth++;
    else if ((c == '}' || c == ']') && --depth == 0)
      return i;
  }
  return 0;
}

// scalar_length counts the bytes of a number, true, false or null.
static size_t scalar_length(struct span text) {
  size_t n = 0;
  while (n < text.len && !is_space(text.at[n]) && text.at[n] != ',' && text.at[n] != '}' &&
         text.at[n] != ']' && text.at[n] != ':')
    n++;
  return n;
}

struct span json_value(struct span text) {
  if (text.at == NULL)
    return absent;
  text = skip_space(text);
  if (text.len == 0)
    return absent;
  size_t n;
  switch (text.at[0]) {
  case '"':
    n = string_length(text);
    break;
  case '{':
  case '[':
    n = nested_length(text);
    break;
  default:
    n = scalar_length(text);
  }
  return n == 0 ? absent : (struct span){text.at, n};
}

// after returns what follows a value that lies in a text.
static struct span after(struct span text, struct span value) {
  size_t end = (size_t)(value.at - text.at) + value.len;
  return skip_space(skip(text, end));
}

// inside returns what is between the brackets of an object or array.
static struct span inside(struct span value, char open) {
  if (value.at == NULL || value.len < 2 || value.at[0] != open)
    return absent;
  return skip_space((struct span){value.at + 1, value.len - 2});
}

// skip_one moves over a character that must come next.
static struct span skip_one(struct span text, char c) {
  if (text.len == 0 || text.at[0] != c)
    return absent;
  return skip_space(skip(text, 1));
}

// string_equals compares a string value with a text. Long strings are not
// equal to any name that policies here ask for.
static bool string_equals(struct span value, const char *text) {
  char decoded[64];
  long n = json_string(value, decoded, sizeof decoded);
  if (n < 0)
    return false;
  for (long i = 0; i < n; i++)
    if (text[i] == '\0' || text[i] != decoded[i])
      return false;
  return text[n] == '\0';
}

struct span json_field(struct span object, const char *name) {
  struct span rest = inside(object, '{');
  while (rest.at != NULL && rest.len > 0) {
    struct span key = json_value(rest);
    if (key.at == NULL)
      return absent;
    rest = skip_one(after(rest, key), ':');
    struct span value = json_value(rest);
    if (value.at == NULL)
      return absent;
    if (string_equals(key, name))
      return value;
    rest = skip_one(after(rest, value), ',');
  }
  return absent;
}

struct span json_elements(struct span array) { return inside(array, '['); }

struct span json_next(struct span *rest) {
  struct span value = json_value(*rest);
  *rest = value.at == NULL ? absent : skip_one(after(*rest, value), ',');
  return value;
}

bool json_is_empty_object(struct span value) {
  struct span fields = inside(value, '{');
  return fields.at != NULL && fields.len == 0;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

// unicode_escape decodes the four digits of \uXXXX; -1 when they are not.
static int unicode_escape(struct span digits) {
  int code = 0;
  if (digits.len < 4)
    return -1;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(digits.at[i]);
    if (digit < 0)
      return -1;
    code = code * 16 + digit;
  }
  return code < 0x80 ? code : '?';
}

// simple_escape decodes the character after a backslash; -1 when there is no
// such escape.
static int simple_escape(char c) {
  switch (c) {
  case '"':
  case '\\':
  case '/':
    return c;
  case 'b':
    return '\b';
  case 'f':
    return '\f';
  case 'n':
    return '\n';
  case 'r':
    return '\r';
  case 't':
    return '\t';
  default:
    return -1;
  }
}

long json_string(struct span value, char *into, size_t cap) {
  if (value.at == NULL || value.len < 2 || value.at[0] != '"')
    return -1;
  struct span text = {value.at + 1, value.len - 2};
  size_t n = 0;
  while (text.len > 0) {
    int c = text.at[0];
    size_t used = 1;
    if (c == '\\') {
      if (text.len < 2)
        return -1;
      bool unicode = text.at[1] == 'u';
      c = unicode ? unicode_escape(skip(text, 2)) : simple_escape(text.at[1]);
      used = unicode ? 6 : 2;
      if (c < 0)
        return -1;
    }
    if (n == cap)
      return -1;
    into[n++] = (char)c;
    text = skip(text, used);
  }
  return (long)n;
}
