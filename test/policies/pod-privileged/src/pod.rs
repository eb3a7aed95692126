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

//! As much of a Pod's specification as the policy looks at.

use serde::Deserialize;
use serde_json::Value;

/// The containers of a Pod.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    pub init_containers: Option<Vec<Container>>,
    pub containers: Vec<Container>,
    pub ephemeral_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    pub name: String,
    security_context: Option<SecurityContext>,
}

#[derive(Deserialize)]
struct SecurityContext {
    privileged: Option<bool>,
}

impl Container {
    pub fn is_privileged(&self) -> bool {
        let context = self.security_context.as_ref();
        context.and_then(|c| c.privileged).unwrap_or(false)
    }
}

/// Decodes the specification of the Pods that an object of a kind is or makes.
pub fn pod_spec(kind: &str, object: &Value) -> Result<PodSpec, String> {
    let path = match kind {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "DaemonSet" | "Deployment" | "Job" | "ReplicaSet" | "ReplicationController"
        | "StatefulSet" => "/spec/template/spec",
        _ => return Err(format!("kind {kind} is not known to have containers")),
    };
    let spec = object
        .pointer(path)
        .ok_or_else(|| format!("the {kind} has no {path}"))?;
    PodSpec::deserialize(spec).map_err(|error| error.to_string())
}
