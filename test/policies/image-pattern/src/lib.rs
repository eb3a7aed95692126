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

//! A Kubewarden policy that compares the images of all containers of a Pod
//! with regular expressions. Each image must completely match one of them.

use kubewarden_policy_sdk::request::ValidationRequest;
use kubewarden_policy_sdk::settings::Validatable;
use kubewarden_policy_sdk::{
    accept_request, protocol_version_guest, reject_request, validate_settings,
};
use regex_lite::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wapc_guest::{CallResult, register_function};

/// Registers the policy's operations; the waPC host calls it once per instance.
#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings::<Settings>);
    register_function("protocol_version", protocol_version_guest);
}

/// The settings in a policy manifest.
#[derive(Serialize, Deserialize, Debug, Default)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// The expressions.
    images: Vec<String>,
    /// The service accounts that may run any image.
    exceptions: Vec<Exception>,
}

#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Exception {
    namespace: String,
    /// Names of service accounts. An empty list means all in the namespace.
    #[serde(default)]
    service_accounts: Vec<String>,
}

impl Exception {
    fn covers(&self, namespace: &str, account: &str) -> bool {
        let accounts = &self.service_accounts;
        self.namespace == namespace
            && (accounts.is_empty() || accounts.iter().any(|a| a == account))
    }
}

impl Settings {
    fn compile(&self) -> Result<Vec<Regex>, regex_lite::Error> {
        let whole = self.images.iter().map(|image| format!("^(?:{image})$"));
        whole.map(|image| Regex::new(&image)).collect()
    }
}

impl Validatable for Settings {
    fn validate(&self) -> Result<(), String> {
        if self.images.is_empty() {
            return Err("images: at least one expression is required".into());
        }
        self.compile()
            .map(|_| ())
            .map_err(|error| format!("images: {error}"))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    init_containers: Vec<Container>,
    containers: Vec<Container>,
    #[serde(default)]
    ephemeral_containers: Vec<Container>,
    #[serde(default)]
    service_account_name: String,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    #[serde(default)]
    image: String,
}

fn validate(payload: &[u8]) -> CallResult {
    let review: ValidationRequest<Settings> = ValidationRequest::new(payload)?;
    if review.request.operation == "DELETE" {
        return accept_request();
    }
    match check(&review) {
        Ok(()) => accept_request(),
        Err(message) => reject_request(Some(message), None, None, None),
    }
}

/// Decodes the Pod specification in an object of a kind.
fn pod_spec(kind: &str, object: &Value) -> Result<PodSpec, String> {
    let path = match kind {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "DaemonSet"
        | "Deployment"
        | "Job"
        | "ReplicaSet"
        | "ReplicationController"
        | "StatefulSet" => "/spec/template/spec",
        _ => return Err(format!("kind {kind} is not known to have containers")),
    };
    let spec = object
        .pointer(path)
        .ok_or_else(|| format!("the {kind} has no {path}"))?;
    PodSpec::deserialize(spec).map_err(|error| error.to_string())
}

fn check(review: &ValidationRequest<Settings>) -> Result<(), String> {
    let allowed = review
        .settings
        .compile()
        .map_err(|error| error.to_string())?;
    let pod = pod_spec(&review.request.kind.kind, &review.request.object)
        .map_err(|error| format!("Cannot look at the images: {error}"))?;
    let (namespace, account) = (&review.request.namespace, &pod.service_account_name);
    if review
        .settings
        .exceptions
        .iter()
        .any(|e| e.covers(namespace, account))
    {
        return Ok(());
    }
    let containers = pod.init_containers.iter();
    let containers = containers.chain(&pod.containers);
    let containers = containers.chain(&pod.ephemeral_containers);
    let refused: Vec<String> = containers
        .filter(|container| !allowed.iter().any(|image| image.is_match(&container.image)))
        .map(|container| format!("{:?} of container {:?}", container.image, container.name))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(format!("Image is not allowed: {}", refused.join(", ")))
}
