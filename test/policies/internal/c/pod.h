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

// Finds the containers in Kubernetes objects.

#ifndef POLICIES_POD_H
#define POLICIES_POD_H

#include "json.h"

// The lists of containers in a Pod or in a
// workload's Pod template. Missing lists are absent.
struct pod {
  struct span init_containers;
  struct span containers;
  struct span ephemeral_containers;
};

// pod_read moves past an object and returns its lists. They are
// all absent if the object is neither a Pod nor a workload.
struct pod pod_read(struct json *object);

#endif
