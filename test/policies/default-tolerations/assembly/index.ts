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

// A Kubewarden policy that adds tolerations to Pods. A Pod
// keeps its own toleration for the same key and effect.

import { JSON } from "assemblyscript-json/assembly";
import { Result } from "@wapc/as-guest";
import { serve } from "../../internal/assemblyscript/policy";
import { accept, failure, mutate, settingsRefused, settingsValid } from "../../internal/assemblyscript/response";
import { endOf, fieldOf, putFirst } from "../../internal/assemblyscript/text";
import { parseSettings, textOf, Toleration } from "./settings";

function validate(payload: ArrayBuffer): Result<ArrayBuffer> {
  const review = JSON.parse(Uint8Array.wrap(payload));
  if (!(review instanceof JSON.Obj)) {
    return failure("the review is not an object");
  }
  const settings = parseSettings((review as JSON.Obj).get("settings"));
  if (settings.fault != "") {
    return failure(settings.fault);
  }
  const request = (review as JSON.Obj).getObj("request");
  if (request == null) {
    return failure("the review carries no request");
  }
  const object = request.getObj("object");
  if (object == null) {
    return accept(); // DELETE and CONNECT have none.
  }
  const spec = object.getObj("spec");
  if (spec == null) {
    return accept();
  }
  const missing = missingFrom(spec, settings.tolerations);
  if (missing.length == 0) {
    return accept();
  }
  return add(String.UTF8.decode(payload), missing.join(","));
}

/** Lists the tolerations, as JSON, that a Pod does not have. */
function missingFrom(spec: JSON.Obj, tolerations: Toleration[]): string[] {
  const present = new Array<string>();
  const list = spec.getArr("tolerations");
  if (list != null) {
    const elements = list.valueOf();
    for (let i = 0; i < elements.length; i++) {
      if (elements[i] instanceof JSON.Obj) {
        const toleration = elements[i] as JSON.Obj;
        present.push(textOf(toleration, "key", "") + " " + textOf(toleration, "effect", ""));
      }
    }
  }
  const missing = new Array<string>();
  for (let i = 0; i < tolerations.length; i++) {
    if (!present.includes(tolerations[i].key + " " + tolerations[i].effect)) {
      missing.push(tolerations[i].json);
    }
  }
  return missing;
}

/** Accepts the object of a review with tolerations inserted into its text. */
function add(review: string, tolerations: string): Result<ArrayBuffer> {
  const request = fieldOf(review, review.indexOf("{"), "request");
  const at = request < 0 ? -1 : fieldOf(review, request, "object");
  if (at < 0) {
    return failure("the object is not where it should be");
  }
  const object = review.substring(at, endOf(review, at));
  const spec = fieldOf(object, 0, "spec");
  if (spec < 0) {
    return failure("the spec is not where it should be");
  }
  const list = fieldOf(object, spec, "tolerations");
  if (list < 0) {
    return mutate(putFirst(object, spec, '"tolerations":[' + tolerations + "]"));
  }
  if (object.charAt(list) == "[") {
    return mutate(putFirst(object, list, tolerations));
  }
  return mutate(object.substring(0, list) + "[" + tolerations + "]" + object.substring(endOf(object, list))); // null
}

function validateSettings(payload: ArrayBuffer): Result<ArrayBuffer> {
  const settings = parseSettings(JSON.parse(Uint8Array.wrap(payload)));
  return settings.fault == "" ? settingsValid() : settingsRefused(settings.fault);
}

export function wapc_init(): void {
  serve(validate, validateSettings);
}

export { __guest_call } from "../../internal/assemblyscript/policy";
