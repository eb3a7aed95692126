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

// The guest side of waPC and of Kubewarden's operations.

#ifndef POLICIES_WAPC_H
#define POLICIES_WAPC_H

#include "span.h"

// A policy implements both. They return the result of respond or fail.
int validate(struct span payload);
int validate_settings(struct span payload);

// respond sends a response to the host, and fail sends an
// error. The return value tells the host which of them it is.
int respond(const char *json);
int respond_with(struct span json);
int fail(const char *message);

// take returns the given number of bytes of free memory, or NULL
// if there is not enough. They are not aligned, and the next
// ones follow directly. They are freed at the end of the call.
char *take(size_t bytes);

// ask makes a host call. It stores the host's answer or error in answer.
bool ask(const char *namespace, const char *operation, struct span payload, struct span *answer);

#endif
