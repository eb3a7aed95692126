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

// A Kubewarden policy that copies a label from the namespace to objects. It
// looks the namespace up in the cluster, and logs what it does. It denies an
// object if the lookup fails, or if the namespace does not have the label.

import { JSON } from "assemblyscript-json/assembly";
import { hostCall, Result } from "@wapc/as-guest";
import { serve } from "../../internal/assemblyscript/policy";
import { accept, failure, mutate, quote, refuse, settingsRefused, settingsValid } from "../../internal/assemblyscript/response";
import { endOf, fieldOf, putFirst } from "../../internal/assemblyscript/text";

const FAULT = "label: the name of a label is required";

/** Returns the only setting, or "" if it is invalid. */
function labelOf(settings: JSON.Value | null): string {
  return settings != null && settings instanceof JSON.Obj ? textOf(settings as JSON.Obj, "label") : "";
}

/** Returns a text field, or "" if there is none. */
function textOf(object: JSON.Obj, field: string): string {
  const text = object.getString(field);
  return text == null ? "" : text.valueOf();
}

/** Returns a label of an object, or null if it does not have the label. */
function labelled(object: JSON.Obj, name: string): JSON.Value | null {
  const metadata = object.getObj("metadata");
  if (metadata == null) {
    return null;
  }
  const labels = metadata.getObj("labels");
  if (labels == null) {
    return null;
  }
  return labels.get(name);
}

function validate(payload: ArrayBuffer): Result<ArrayBuffer> {
  const review = JSON.parse(Uint8Array.wrap(payload));
  if (!(review instanceof JSON.Obj)) {
    return failure("the review is not an object");
  }
  const label = labelOf((review as JSON.Obj).get("settings"));
  if (label == "") {
    return failure(FAULT);
  }
  const request = (review as JSON.Obj).getObj("request");
  if (request == null) {
    return failure("the review carries no request");
  }
  const operation = textOf(request, "operation");
  const namespace = textOf(request, "namespace");
  if (namespace == "" || (operation != "CREATE" && operation != "UPDATE")) {
    return accept();
  }
  const answer = lookUp(namespace);
  if (!answer.isOk) {
    const error = answer.error();
    return refuse(500, "looking up namespace " + namespace + ": " + (error == null ? "no reason given" : error.message));
  }
  const found = JSON.parse(Uint8Array.wrap(answer.get()));
  if (!(found instanceof JSON.Obj)) {
    return failure("the host answers with no namespace");
  }
  const value = labelled(found as JSON.Obj, label);
  if (value == null || !(value instanceof JSON.Str)) {
    return refuse(403, "namespace " + namespace + " has no label " + label);
  }
  const object = request.getObj("object");
  if (object == null) {
    return failure("the request carries no object");
  }
  if (labelled(object, label) != null) {
    return accept();
  }
  trace("label " + label + " is taken from namespace " + namespace);
  return add(String.UTF8.decode(payload), label, (value as JSON.Str).valueOf());
}

function lookUp(namespace: string): Result<ArrayBuffer> {
  const question =
    '{"api_version":"v1","kind":"Namespace","name":' + quote(namespace) + ',"namespace":null,"disable_cache":false}';
  return hostCall("kubewarden", "kubernetes", "get_resource", String.UTF8.encode(question));
}

/** Logs a change. A failed log is not a reason to deny a request. */
function trace(message: string): void {
  hostCall("kubewarden", "tracing", "log", String.UTF8.encode('{"level":"info","message":' + quote(message) + "}"));
}

/** Accepts the object of a review with a label inserted into its text. */
function add(review: string, label: string, value: string): Result<ArrayBuffer> {
  const request = fieldOf(review, review.indexOf("{"), "request");
  const at = request < 0 ? -1 : fieldOf(review, request, "object");
  if (at < 0) {
    return failure("the object is not where it should be");
  }
  const object = review.substring(at, endOf(review, at));
  const metadata = fieldOf(object, 0, "metadata");
  if (metadata < 0 || object.charAt(metadata) != "{") {
    return failure("the object has no metadata");
  }
  const entry = quote(label) + ":" + quote(value);
  const labels = fieldOf(object, metadata, "labels");
  if (labels < 0) {
    return mutate(putFirst(object, metadata, '"labels":{' + entry + "}"));
  }
  if (object.charAt(labels) == "{") {
    return mutate(putFirst(object, labels, entry));
  }
  return mutate(object.substring(0, labels) + "{" + entry + "}" + object.substring(endOf(object, labels))); // null
}

function validateSettings(payload: ArrayBuffer): Result<ArrayBuffer> {
  return labelOf(JSON.parse(Uint8Array.wrap(payload))) == "" ? settingsRefused(FAULT) : settingsValid();
}

export function wapc_init(): void {
  serve(validate, validateSettings);
}

export { __guest_call } from "../../internal/assemblyscript/policy";
