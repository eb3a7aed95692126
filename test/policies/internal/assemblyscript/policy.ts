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

// Shared by all policies: serves the operations of a Kubewarden host over waPC.
//
// A policy exports wapc_init, which calls serve, and this
// module's __guest_call. Its asconfig.json makes the compiler use
// abort from here, and find packages in the policy's directory.

import { consoleLog, handleAbort, handleCall, register, Result } from "@wapc/as-guest";

type Operation = (payload: ArrayBuffer) => Result<ArrayBuffer>;

/** Registers a policy's operations. The host calls wapc_init once, before any of them. */
export function serve(validate: Operation, validateSettings: Operation): void {
  register("validate", validate);
  register("validate_settings", validateSettings);
  register("protocol_version", protocolVersion);
}

function protocolVersion(payload: ArrayBuffer): Result<ArrayBuffer> {
  return Result.ok(String.UTF8.encode('"v1"'));
}

export function __guest_call(operationSize: usize, payloadSize: usize): bool {
  return handleCall(operationSize, payloadSize);
}

/** Reports a failure to the host before AssemblyScript's runtime traps. */
export function abort(message: string | null, fileName: string | null, line: u32, column: u32): void {
  consoleLog("aborted: " + (message == null ? "no reason given" : message));
  handleAbort(message, fileName, line, column);
  unreachable();
}
