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

// The settings of the policy: {"registries": ["registry.k8s.io", "ghcr.io/acme"]}.

import { JSON } from "assemblyscript-json/assembly";
import { quote } from "../../internal/assemblyscript/response";

export class Settings {
  registries: string[] = [];
  /** The problem with the settings; empty if they are valid. */
  fault: string = "";
}

export function parseSettings(value: JSON.Value | null): Settings {
  const settings = new Settings();
  settings.fault = parse(value, settings.registries);
  return settings;
}

function parse(value: JSON.Value | null, registries: string[]): string {
  if (value == null || !(value instanceof JSON.Obj)) {
    return "the settings are not an object";
  }
  const object = value as JSON.Obj;
  const keys = object.keys;
  for (let i = 0; i < keys.length; i++) {
    if (keys[i] != "registries") {
      return "unknown setting " + quote(keys[i]);
    }
  }
  const list = object.getArr("registries");
  if (list == null || list.valueOf().length == 0) {
    return "registries: a list of at least one registry is required";
  }
  const elements = list.valueOf();
  for (let i = 0; i < elements.length; i++) {
    const at = "registries[" + i.toString() + "]: ";
    if (!elements[i].isString) {
      return at + "not a string";
    }
    const registry = (elements[i] as JSON.Str).valueOf();
    if (registry == "" || registry.startsWith("/") || registry.endsWith("/") || registry.includes("://")) {
      return at + quote(registry) + ' is not of the form "host" or "host/path"';
    }
    registries.push(registry);
  }
  return "";
}
