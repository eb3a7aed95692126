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

#include <stdint.h>

struct json json_read(struct span text) {
  return (struct json){.at = text.at, .end = text.at + text.len};
}

static void give_up(struct json *in) {
  in->at = in->end;
  in->failed = true;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static void skip_space(struct json *in) {
  while (in->at < in->end && is_space(*in->at))
    in->at++;
}

// peek returns the next character that is not white space. At the
// end of the text it returns '\0', which never occurs in JSON.
static char peek(struct json *in) {
  skip_space(in);
  return in->at < in->end ? *in->at : '\0';
}

// take_one moves past a character that must come next.
static bool take_one(struct json *in, char c) {
  if (peek(in) != c) {
    give_up(in);
    return false;
  }
  in->at++;
  return true;
}

// matches marks, in their highest bits, those of eight
// characters that equal c. Only the first mark is reliable.
static uint64_t matches(uint64_t eight, unsigned char c) {
  const uint64_t lowest = 0x0101010101010101, highest = 0x8080808080808080;
  uint64_t zero_where_equal = eight ^ (lowest * c);
  return (zero_where_equal - lowest) & ~zero_where_equal & highest;
}

// behind_string returns the place after a string, given the place after its
// first quote, or NULL if it has no end. Most of a review consists of strings,
// so reading eight characters at a time halves the time that a policy takes.
static const char *behind_string(const char *at, const char *end) {
  while (end - at >= 8) {
    uint64_t eight;
    __builtin_memcpy(&eight, at, sizeof eight);
    uint64_t found = matches(eight, '"') | matches(eight, '\\');
    if (found == 0) {
      at += 8;
      continue;
    }
    at += __builtin_ctzll(found) / 8;
    if (*at == '"')
      return at + 1;
    at += 2; // the backslash and what it escapes
  }
  for (; at < end; at++) {
    if (*at == '"')
      return at + 1;
    if (*at == '\\')
      at++;
  }
  return NULL;
}

// behind_brackets returns the place after the given number of closing
// brackets, where the reader has left the objects and arrays that they
// belong to. It returns NULL if the text ends before. It counts
// instead of recursing, so that deep nesting cannot exhaust the stack.
static const char *behind_brackets(const char *at, const char *end, size_t depth) {
  while (depth > 0) {
    if (at >= end)
      return NULL;
    switch (*at++) {
    case '"':
      at = behind_string(at, end);
      if (at == NULL)
        return NULL;
      break;
    case '{':
    case '[':
      depth++;
      break;
    case '}':
    case ']':
      depth--;
    }
  }
  return at;
}

static bool is_scalar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'E';
}

// behind_scalar returns the place after a number, true,
// false or null, or NULL if there is none of them.
static const char *behind_scalar(const char *at, const char *end) {
  const char *from = at;
  while (at < end && is_scalar(*at))
    at++;
  return at == from ? NULL : at;
}

struct span json_skip(struct json *in) {
  char c = peek(in);
  const char *from = in->at, *behind;
  if (c == '"')
    behind = behind_string(from + 1, in->end);
  else if (c == '{' || c == '[')
    behind = behind_brackets(from + 1, in->end, 1);
  else
    behind = behind_scalar(from, in->end);
  if (behind == NULL) {
    give_up(in);
    return (struct span){NULL, 0};
  }
  in->at = behind;
  return (struct span){from, (size_t)(behind - from)};
}

void json_leave(struct json *in, size_t depth) {
  const char *behind = in->depth > depth ? behind_brackets(in->at, in->end, in->depth - depth) : in->at;
  if (behind == NULL)
    give_up(in);
  else
    in->at = behind;
  in->depth = depth;
  in->first = false;
}

bool json_done(struct json *in) {
  json_leave(in, 0);
  skip_space(in);
  if (in->at != in->end)
    give_up(in);
  return !in->failed;
}

// enter moves into an object or array, or past a value of another kind.
static bool enter(struct json *in, char bracket) {
  if (peek(in) != bracket) {
    json_skip(in);
    return false;
  }
  in->at++;
  in->depth++;
  in->first = true;
  return true;
}

// next moves past the comma to the next member of an object or
// array. At the end, it moves past the bracket and returns false.
static bool next(struct json *in, char bracket) {
  bool first = in->first;
  in->first = false;
  if (peek(in) == bracket) {
    in->at++;
    in->depth--;
    return false;
  }
  if (!first && !take_one(in, ','))
    return false;
  if (peek(in) == '\0')
    give_up(in);
  return !in->failed;
}

bool json_array(struct json *in) { return enter(in, '['); }

bool json_element(struct json *in) { return next(in, ']'); }

bool json_object(struct json *in) { return enter(in, '{'); }

bool json_member(struct json *in, struct span *name) {
  if (!next(in, '}'))
    return false;
  if (peek(in) != '"')
    give_up(in);
  *name = json_skip(in);
  if (!take_one(in, ':'))
    return false;
  skip_space(in);
  return true;
}

// is_escaped compares a string value that has escapes. A long
// value cannot equal any name that these policies look for.
static bool is_escaped(struct span string, const char *text) {
  char decoded[64];
  long n = json_string(string, decoded, sizeof decoded);
  return n >= 0 && span_equals((struct span){decoded, (size_t)n}, text);
}

bool json_is(struct span string, const char *text) {
  const char *at = string.at + 1; // after the quote
  size_t i = 0;
  while (at[i] == text[i] && text[i] != '\0' && at[i] != '"' && at[i] != '\\')
    i++;
  if (at[i] == '\\')
    return is_escaped(string, text);
  return at[i] == '"' && text[i] == '\0';
}

bool json_find(struct json *in, const char *name) {
  struct span found;
  if (!json_object(in))
    return false;
  while (json_member(in, &found)) {
    if (json_is(found, name))
      return true;
    json_skip(in);
  }
  return false;
}

void json_fields(struct json *in, struct json_field fields[], size_t count) {
  struct span name;
  if (!json_object(in))
    return;
  while (json_member(in, &name)) {
    struct span value = json_skip(in);
    for (size_t i = 0; i < count; i++)
      if (fields[i].value.at == NULL && json_is(name, fields[i].name))
        fields[i].value = value;
  }
}

struct span json_field(struct json *in, const char *name) {
  struct json_field field = {.name = name};
  json_fields(in, &field, 1);
  return field.value;
}

bool json_is_empty_object(struct span text) {
  struct json in = json_read(text);
  struct span name;
  return json_object(&in) && !json_member(&in, &name) && json_done(&in);
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

// unicode_escape decodes the four digits of \uXXXX, or returns -1.
static int unicode_escape(const char *digits, const char *end) {
  int code = 0;
  if (end - digits < 4)
    return -1;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(digits[i]);
    if (digit < 0)
      return -1;
    code = code * 16 + digit;
  }
  return code < 0x80 ? code : '?';
}

// simple_escape decodes the character after a
// backslash. It returns -1 if there is no such escape.
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

// escape decodes the text after a backslash, and moves past it.
static int escape(const char **at, const char *end) {
  if (*at == end)
    return -1;
  char c = *(*at)++;
  if (c != 'u')
    return simple_escape(c);
  int code = unicode_escape(*at, end);
  *at += 4;
  return code;
}

long json_string(struct span value, char *into, size_t cap) {
  if (value.at == NULL || value.len < 2 || value.at[0] != '"')
    return -1;
  const char *at = value.at + 1, *end = value.at + value.len - 1;
  size_t n = 0;
  while (at < end) {
    int c = (unsigned char)*at++;
    if (c == '\\')
      c = escape(&at, end);
    if (c < 0 || n == cap)
      return -1;
    into[n++] = (char)c;
  }
  return (long)n;
}
