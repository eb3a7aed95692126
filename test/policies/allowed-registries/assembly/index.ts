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

// A Kubewarden policy that only admits images from the allowed
// registries, in Pods and in the Pod templates of workloads.

import { JSON } from "assemblyscript-json/assembly";
import { Result } from "@wapc/as-guest";
import { serve } from "../../internal/assemblyscript/policy";
import { accept, failure, quote, reject, settingsRefused, settingsValid } from "../../internal/assemblyscript/response";
import { canonical, isAllowed } from "./image";
import { imagesOf } from "./pod";
import { parseSettings } from "./settings";

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
    return accept(); // DELETE and CONNECT have no image.
  }

  const images = imagesOf(object);
  const refused = new Array<string>();
  for (let i = 0; i < images.length; i++) {
    if (!isAllowed(canonical(images[i]), settings.registries)) {
      refused.push(quote(images[i]));
    }
  }
  if (refused.length == 0) {
    return accept();
  }
  return reject("images from registries that are not allowed: " + refused.join(", "));
}

function validateSettings(payload: ArrayBuffer): Result<ArrayBuffer> {
  const settings = parseSettings(JSON.parse(Uint8Array.wrap(payload)));
  return settings.fault == "" ? settingsValid() : settingsRefused(settings.fault);
}

export function wapc_init(): void {
  serve(validate, validateSettings);
}

export { __guest_call } from "../../internal/assemblyscript/policy";
