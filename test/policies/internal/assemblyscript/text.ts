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

// Positions in JSON text. The parser of assemblyscript-json converts
// integers to floating point, and its writer does not escape control
// characters. So parsing and writing an object may change it.
// Instead, insert changes into the text, which keeps everything else.
//
// The text was parsed before, so it is known to be JSON.

const QUOTE: i32 = 0x22;
const COMMA: i32 = 0x2c;
const BACKSLASH: i32 = 0x5c;
const BRACKET: i32 = 0x5b;
const BRACKET_END: i32 = 0x5d;
const BRACE: i32 = 0x7b;
const BRACE_END: i32 = 0x7d;

function isSpace(code: i32): bool {
  return code == 0x20 || code == 0x0a || code == 0x0d || code == 0x09;
}

/** Returns the first position at or after another that is not white space. */
export function skipSpace(text: string, at: i32): i32 {
  while (at < text.length && isSpace(text.charCodeAt(at))) {
    at++;
  }
  return at;
}

function endOfString(text: string, at: i32): i32 {
  for (at++; at < text.length && text.charCodeAt(at) != QUOTE; at++) {
    if (text.charCodeAt(at) == BACKSLASH) {
      at++;
    }
  }
  return at + 1;
}

/** Returns the position after the value at a position. */
export function endOf(text: string, at: i32): i32 {
  let depth = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code == QUOTE) {
      at = endOfString(text, at);
    } else if (code == BRACE || code == BRACKET) {
      depth++;
      at++;
    } else if (code == BRACE_END || code == BRACKET_END) {
      if (depth == 0) {
        return at; // after a number, true, false or null
      }
      depth--;
      at++;
    } else if (depth == 0 && (code == COMMA || isSpace(code))) {
      return at;
    } else {
      at++;
      continue;
    }
    if (depth == 0) {
      return at;
    }
  }
  return at;
}

/** Returns the position of a field's value in the object at a position, or -1. */
export function fieldOf(text: string, at: i32, name: string): i32 {
  at = skipSpace(text, at + 1);
  while (at < text.length && text.charCodeAt(at) == QUOTE) {
    const end = endOfString(text, at);
    const value = skipSpace(text, skipSpace(text, end) + 1); // past the colon
    if (text.substring(at + 1, end - 1) == name) {
      return value;
    }
    at = skipSpace(text, endOf(text, value));
    if (at < text.length && text.charCodeAt(at) == COMMA) {
      at = skipSpace(text, at + 1);
    }
  }
  return -1;
}

/** Inserts text before the first element of the array or field of the object at a position. */
export function putFirst(text: string, at: i32, element: string): string {
  const first = skipSpace(text, at + 1);
  const code = text.charCodeAt(first);
  const isEmpty = code == BRACE_END || code == BRACKET_END;
  return text.substring(0, at + 1) + element + (isEmpty ? "" : ",") + text.substring(at + 1);
}
