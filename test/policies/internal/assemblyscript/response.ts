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

// The responses that a Kubewarden host understands.

import { Result } from "@wapc/as-guest";

export function accept(): Result<ArrayBuffer> {
  return Result.ok(String.UTF8.encode('{"accepted":true}'));
}

/** Accepts a request with a mutated object, given as JSON. */
export function mutate(object: string): Result<ArrayBuffer> {
  return Result.ok(String.UTF8.encode('{"accepted":true,"mutated_object":' + object + "}"));
}

/** Refuses a request with a message for the user. */
export function reject(message: string): Result<ArrayBuffer> {
  return Result.ok(String.UTF8.encode('{"accepted":false,"message":' + quote(message) + "}"));
}

/** Refuses a request with a message and an HTTP status. */
export function refuse(code: i32, message: string): Result<ArrayBuffer> {
  return Result.ok(
    String.UTF8.encode('{"accepted":false,"code":' + code.toString() + ',"message":' + quote(message) + "}"),
  );
}

/** Fails without a verdict. */
export function failure(message: string): Result<ArrayBuffer> {
  return Result.error<ArrayBuffer>(new Error(message));
}

export function settingsValid(): Result<ArrayBuffer> {
  return Result.ok(String.UTF8.encode('{"valid":true}'));
}

export function settingsRefused(message: string): Result<ArrayBuffer> {
  return Result.ok(String.UTF8.encode('{"valid":false,"message":' + quote(message) + "}"));
}

/** Returns a text as a JSON string. */
export function quote(text: string): string {
  let quoted = '"';
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code == 0x22 || code == 0x5c) {
      quoted += "\\" + text.charAt(i);
    } else if (code < 0x20) {
      quoted += "\\u00" + (code < 0x10 ? "0" : "") + code.toString(16);
    } else {
      quoted += text.charAt(i);
    }
  }
  return quoted + '"';
}
