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

//! A Kubewarden policy that denies privileged containers in Pods and in the Pod templates of workloads.
//!
//! It only decodes the parts of an object that it needs.

mod pod;
mod review;
mod settings;

use kubewarden_policy_sdk::{
    accept_request, protocol_version_guest, reject_request, validate_settings,
};
use pod::{PodSpec, pod_spec};
use review::{Request, Review};
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
    let review: Review = serde_json::from_slice(payload)
        .map_err(|error| format!("error deserializing the review: {error}"))?;
    if review.request.operation == "DELETE" {
        return accept_request();
    }

    match pod_of(&review.request) {
        Ok(pod) => verdict(&pod, &review.settings),
        // An object that cannot be decoded cannot be accepted.
        Err(error) => reject_request(
            Some(format!("Cannot look for privileged containers: {error}")),
            None,
            None,
            None,
        ),
    }
}

fn pod_of(request: &Request) -> Result<PodSpec, String> {
    let object = request.object.ok_or("the request carries no object")?;
    pod_spec(&request.kind.kind, object)
}

fn verdict(pod: &PodSpec, settings: &Settings) -> CallResult {
    let offenders = privileged_containers(pod, settings);
    if offenders.is_empty() {
        return accept_request();
    }
    reject_request(
        Some(format!(
            "Privileged container is not allowed: {}",
            offenders.join(", ")
        )),
        None,
        None,
        None,
    )
}

/// Lists the privileged containers of a Pod in the order in which the kubelet would start them.
fn privileged_containers(pod: &PodSpec, settings: &Settings) -> Vec<String> {
    let mut offenders = Vec::new();
    if !settings.skip_init_containers {
        for container in pod.init_containers.iter().flatten() {
            if container.is_privileged() {
                offenders.push(format!("init container {:?}", container.name));
            }
        }
    }
    for container in &pod.containers {
        if container.is_privileged() {
            offenders.push(format!("container {:?}", container.name));
        }
    }
    if !settings.skip_ephemeral_containers {
        for container in pod.ephemeral_containers.iter().flatten() {
            if container.is_privileged() {
                offenders.push(format!("ephemeral container {:?}", container.name));
            }
        }
    }
    offenders
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn offenders(settings: Settings) -> Vec<String> {
        let privileged = json!({"privileged": true});
        let pod: PodSpec = serde_json::from_value(json!({
            "initContainers": [{"name": "setup", "securityContext": privileged}],
            "containers": [{"name": "web"}, {"name": "agent", "securityContext": privileged}],
            "ephemeralContainers": [{"name": "debug", "securityContext": privileged}],
        }))
        .unwrap();
        privileged_containers(&pod, &settings)
    }

    #[test]
    fn every_kind_of_container_is_checked() {
        assert_eq!(
            offenders(Settings::default()),
            [
                r#"init container "setup""#,
                r#"container "agent""#,
                r#"ephemeral container "debug""#
            ]
        );
    }

    #[test]
    fn skipped_kinds_are_left_out() {
        let settings = Settings {
            skip_init_containers: true,
            skip_ephemeral_containers: true,
        };
        assert_eq!(offenders(settings), [r#"container "agent""#]);
    }
}
