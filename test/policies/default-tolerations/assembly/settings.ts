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

import { JSON } from "assemblyscript-json/assembly";
import { quote } from "../../internal/assemblyscript/response";

/** A toleration in the settings. */
export class Toleration {
  constructor(
    public key: string,
    public effect: string,
    /** The toleration as JSON. */
    public json: string,
  ) {}
}

export class Settings {
  tolerations: Toleration[] = [];
  /** The problem with the settings; empty if they are valid. */
  fault: string = "";
}

export function parseSettings(value: JSON.Value | null): Settings {
  const settings = new Settings();
  settings.fault = parse(value, settings.tolerations);
  return settings;
}

function parse(value: JSON.Value | null, into: Toleration[]): string {
  if (value == null || !(value instanceof JSON.Obj)) {
    return "the settings are not an object";
  }
  const object = value as JSON.Obj;
  const unknown = unknownKey(object, ["tolerations"]);
  if (unknown != "") {
    return "unknown setting " + unknown;
  }
  const list = object.getArr("tolerations");
  if (list == null || list.valueOf().length == 0) {
    return "tolerations: a list of at least one toleration is required";
  }
  const elements = list.valueOf();
  for (let i = 0; i < elements.length; i++) {
    const fault = parseToleration(elements[i], into);
    if (fault != "") {
      return "tolerations[" + i.toString() + "]: " + fault;
    }
  }
  return "";
}

function parseToleration(value: JSON.Value, into: Toleration[]): string {
  if (!(value instanceof JSON.Obj)) {
    return "not an object";
  }
  const object = value as JSON.Obj;
  const unknown = unknownKey(object, ["key", "operator", "value", "effect", "tolerationSeconds"]);
  if (unknown != "") {
    return "unknown field " + unknown;
  }
  const key = object.getString("key");
  if (key == null || key.valueOf() == "") {
    return "key: a string is required";
  }
  let json = '{"key":' + quote(key.valueOf());

  const operator = textOf(object, "operator", "Equal");
  if (operator != "Exists" && operator != "Equal") {
    return "operator: neither Exists nor Equal";
  }
  json += ',"operator":' + quote(operator);

  if (object.has("value")) {
    const text = object.getString("value");
    if (text == null || operator != "Equal") {
      return "value: a string is needed, and operator Equal";
    }
    json += ',"value":' + quote(text.valueOf());
  }
  const effect = textOf(object, "effect", "");
  if (effect != "" && effect != "NoSchedule" && effect != "PreferNoSchedule" && effect != "NoExecute") {
    return "effect: none of NoSchedule, PreferNoSchedule and NoExecute";
  }
  if (effect != "") {
    json += ',"effect":' + quote(effect);
  }
  if (object.has("tolerationSeconds")) {
    const seconds = object.getInteger("tolerationSeconds");
    if (seconds == null || effect != "NoExecute") {
      return "tolerationSeconds: a whole number is needed, and effect NoExecute";
    }
    json += ',"tolerationSeconds":' + seconds.valueOf().toString();
  }
  if (has(into, key.valueOf(), effect)) {
    return "key and effect are those of an earlier one";
  }
  into.push(new Toleration(key.valueOf(), effect, json + "}"));
  return "";
}

/** Returns whether one of the tolerations has the key and the effect. */
function has(tolerations: Toleration[], key: string, effect: string): bool {
  for (let i = 0; i < tolerations.length; i++) {
    if (tolerations[i].key == key && tolerations[i].effect == effect) {
      return true;
    }
  }
  return false;
}

/** Returns a text field. Returns missing if there is none, and an invalid text if it is not a string. */
export function textOf(object: JSON.Obj, field: string, missing: string): string {
  if (!object.has(field)) {
    return missing;
  }
  const text = object.getString(field);
  return text == null ? "not a string" : text.valueOf();
}

/** Returns the first unknown key, quoted, or "" if there is none. */
function unknownKey(object: JSON.Obj, known: string[]): string {
  const keys = object.keys;
  for (let i = 0; i < keys.length; i++) {
    if (!known.includes(keys[i])) {
      return quote(keys[i]);
    }
  }
  return "";
}
