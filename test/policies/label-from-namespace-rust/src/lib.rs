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

//! A Kubewarden policy that copies a label from the namespace to objects. It looks the namespace up in the cluster,
//! and logs what it does. It denies an object if the lookup fails, or if the namespace does not have the label.
//!
//! The namespace is decoded into a type, because only its labels are
//! needed. The object stays JSON, because a type would lose unknown fields.

mod settings;

use k8s_openapi::api::core::v1::Namespace;
use kubewarden_policy_sdk::host_capabilities::kubernetes::{GetResourceRequest, get_resource};
use kubewarden_policy_sdk::logging::KubewardenDrain;
use kubewarden_policy_sdk::request::ValidationRequest;
use kubewarden_policy_sdk::settings::Validatable;
use kubewarden_policy_sdk::{
    accept_request, mutate_request, protocol_version_guest, reject_request, validate_settings,
};
use serde_json::{Value, json};
use settings::Settings;
use slog::{Logger, info, o};
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
    review.settings.validate()?;
    let label = review.settings.label.as_str();
    let request = review.request;
    let changes = matches!(request.operation.as_str(), "CREATE" | "UPDATE");
    if request.namespace.is_empty() || !changes {
        return accept_request();
    }
    let namespace = match look_up(&request.namespace) {
        Ok(namespace) => namespace,
        Err(err) => {
            let message = format!("looking up namespace {}: {err}", request.namespace);
            return reject_request(Some(message), Some(500), None, None);
        }
    };
    let labels = namespace.metadata.labels.unwrap_or_default();
    let Some(value) = labels.get(label) else {
        let message = format!("namespace {} has no label {label}", request.namespace);
        return reject_request(Some(message), Some(403), None, None);
    };
    let mut object = request.object;
    if !add_label(&mut object, label, value) {
        return accept_request();
    }
    let log = Logger::root(KubewardenDrain::new(), o!("label" => label.to_owned()));
    info!(
        log,
        "label {label} is taken from namespace {}", request.namespace
    );
    mutate_request(object)
}

fn look_up(name: &str) -> kubewarden_policy_sdk::Result<Namespace> {
    get_resource(&GetResourceRequest {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        name: name.to_owned(),
        namespace: None,
        disable_cache: false,
        field_masks: None,
    })
}

/// Adds a label to an object unless it exists, and returns whether it was added.
fn add_label(object: &mut Value, label: &str, value: &str) -> bool {
    if object["metadata"]["labels"].get(label).is_some() {
        return false;
    }
    // This creates missing parents.
    object["metadata"]["labels"][label] = json!(value);
    true
}
