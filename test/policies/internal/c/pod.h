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

// Where Kubernetes objects keep their containers.

#ifndef POLICIES_POD_H
#define POLICIES_POD_H

#include "json.h"

// The lists of containers of a Pod, or of a workload's pod template; absent are
// those that it does not have.
struct pod {
  struct span init_containers;
  struct span containers;
  struct span ephemeral_containers;
};

// pod_read moves past an object and returns its lists. An object that is no Pod
// and makes none has none of them.
struct pod pod_read(struct json *object);

#endif
