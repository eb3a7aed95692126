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

//! A Kubewarden policy that drops capabilities from the containers and init containers of Pods and of workloads' Pod
//! templates. It denies a container that adds one of them, because the container would get less than it asks for.
//!
//! It works on JSON instead of types, because types would lose unknown fields.

mod settings;

use kubewarden_policy_sdk::request::ValidationRequest;
use kubewarden_policy_sdk::{
    accept_request, mutate_request, protocol_version_guest, reject_request, validate_settings,
};
use serde_json::{Value, json};
use settings::Settings;
use wapc_guest::{CallResult, register_function};

/// Registers the policy's operations; the waPC host calls it once per instance.
#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings::<Settings>);
    register_function("protocol_version", protocol_version_guest);
}

fn validate(payload: &[u8]) -> CallResult {
    let review: ValidationRequest<Settings> = ValidationRequest::new(payload)?;
    let mut object = review.request.object;
    match change(&mut object, &review.settings.drop) {
        Ok(true) => mutate_request(object),
        Ok(false) => accept_request(),
        Err(message) => reject_request(Some(message), None, None, None),
    }
}

/// The paths of the Pod specification in the different kinds.
const POD_SPECS: [&str; 3] = [
    "/spec/jobTemplate/spec/template/spec",
    "/spec/template/spec",
    "/spec",
];

/// Makes the containers of an object drop capabilities, and returns whether
/// that changed the object. Objects without containers do not change.
fn change(object: &mut Value, drop: &[String]) -> Result<bool, String> {
    let Some(path) = POD_SPECS.iter().find(|path| object.pointer(path).is_some()) else {
        return Ok(false);
    };
    let mut changed = false;
    for list in ["initContainers", "containers"] {
        let containers = object.pointer_mut(path).and_then(|spec| spec.get_mut(list));
        for container in containers
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            changed |= change_container(container, drop)?;
        }
    }
    Ok(changed)
}

fn change_container(container: &mut Value, drop: &[String]) -> Result<bool, String> {
    let added = names(container, "add");
    if let Some(added) = added.iter().find(|a| is_in(drop, a)) {
        let name = container["name"].as_str().unwrap_or_default();
        return Err(format!(
            "Container {name:?} must not add capability {added:?}, which it has to drop"
        ));
    }
    let mut dropped = names(container, "drop");
    let before = dropped.len();
    for capability in drop {
        if !is_in(&dropped, capability) {
            dropped.push(capability.clone());
        }
    }
    let changed = dropped.len() > before;
    if changed {
        // This creates missing parents.
        container["securityContext"]["capabilities"]["drop"] = json!(dropped);
    }
    Ok(changed)
}

/// Lists the capabilities that a container adds or drops. The server has already checked that they are texts.
fn names(container: &Value, field: &str) -> Vec<String> {
    let list = container["securityContext"]["capabilities"][field].as_array();
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Returns whether a list names a capability, or all of them.
fn is_in(list: &[String], capability: &str) -> bool {
    list.iter().any(|c| c == capability || c == "ALL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(mut container: Value, drop: &[&str]) -> Result<Option<Value>, String> {
        let drop: Vec<String> = drop.iter().map(|d| d.to_string()).collect();
        let changed = change_container(&mut container, &drop)?;
        Ok(changed.then(|| container["securityContext"].take()))
    }

    #[test]
    fn what_is_there_is_kept() {
        let container = json!({"securityContext": {"runAsUser": 7, "capabilities": {"add": ["CHOWN"], "drop": ["KILL"]}}});
        assert_eq!(
            changed(container, &["NET_RAW", "KILL"]),
            Ok(Some(
                json!({"runAsUser": 7, "capabilities": {"add": ["CHOWN"], "drop": ["KILL", "NET_RAW"]}})
            ))
        );
    }

    #[test]
    fn all_are_all() {
        let container = json!({"securityContext": {"capabilities": {"drop": ["ALL"]}}});
        assert_eq!(changed(container, &["NET_RAW"]), Ok(None));
        let adds = json!({"name": "a", "securityContext": {"capabilities": {"add": ["CHOWN"]}}});
        assert!(changed(adds, &["ALL"]).is_err());
    }
}
