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

// The guest side of waPC, and of Kubewarden's operations on top of it.

#ifndef POLICIES_WAPC_H
#define POLICIES_WAPC_H

#include "span.h"

// What a policy is made of. Both return what respond or fail does.
int validate(struct span payload);
int validate_settings(struct span payload);

// respond answers the host; fail tells it why there is no answer. What they
// return says which of the two it is.
int respond(const char *json);
int respond_with(struct span json);
int fail(const char *message);

// take returns so many bytes of free memory; NULL when there are none. They are
// not aligned, and the next ones lie right behind them. The end of the call frees
// them.
char *take(size_t bytes);

// ask calls the host. What it answers, or why it does not, is put into answer.
bool ask(const char *namespace, const char *operation, struct span payload, struct span *answer);

#endif
