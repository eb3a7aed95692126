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

//! The parts of a Pod's specification that the policy reads.

use serde::Deserialize;
use serde_json::value::RawValue;

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

/// An object with a specification: a Pod, a workload, or the Pod template in a workload.
#[derive(Deserialize)]
struct Object<S> {
    spec: Option<S>,
}

#[derive(Deserialize)]
struct WorkloadSpec {
    template: Option<Object<PodSpec>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronJobSpec {
    job_template: Option<Object<WorkloadSpec>>,
}

fn spec_of<'a, S: Deserialize<'a>>(object: &'a RawValue) -> Result<Option<S>, String> {
    serde_json::from_str::<Object<S>>(object.get())
        .map(|object| object.spec)
        .map_err(|error| error.to_string())
}

/// Decodes the Pod specification in an object of a kind.
pub fn pod_spec(kind: &str, object: &RawValue) -> Result<PodSpec, String> {
    let spec = match kind {
        "Pod" => spec_of(object)?,
        "CronJob" => spec_of::<CronJobSpec>(object)?
            .and_then(|cron_job| cron_job.job_template)
            .and_then(|job| job.spec)
            .and_then(|job| job.template)
            .and_then(|pod| pod.spec),
        "DaemonSet" | "Deployment" | "Job" | "ReplicaSet" | "ReplicationController"
        | "StatefulSet" => spec_of::<WorkloadSpec>(object)?
            .and_then(|workload| workload.template)
            .and_then(|pod| pod.spec),
        _ => return Err(format!("kind {kind} is not known to have containers")),
    };
    spec.ok_or_else(|| format!("the {kind} does not specify a Pod"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kind: &str, object: &str) -> Result<Vec<String>, String> {
        let pod = pod_spec(kind, serde_json::from_str(object).unwrap())?;
        Ok(pod.containers.into_iter().map(|c| c.name).collect())
    }

    #[test]
    fn the_kind_says_where_the_pod_is() {
        let pod = r#"{"spec": {"containers": [{"name": "web", "image": "web:1"}]}}"#;
        let workload = format!(r#"{{"spec": {{"template": {pod}}}}}"#);
        let cron_job = format!(r#"{{"spec": {{"jobTemplate": {workload}}}}}"#);
        let web = Ok(vec!["web".to_owned()]);
        assert_eq!(names("Pod", pod), web);
        assert_eq!(names("Deployment", &workload), web);
        assert_eq!(names("CronJob", &cron_job), web);
        assert!(names("Deployment", pod).is_err());
        assert!(names("CronJob", &workload).is_err());
        assert!(names("Pod", &workload).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_no_pod_without_containers() {
        for object in [r#"{"spec": {}}"#, r#"{"spec": null}"#, "{}", "[]", "null"] {
            assert!(names("Pod", object).is_err(), "{object}");
        }
        assert!(names("Pod", r#"{"spec": {"containers": [{"name": 1}]}}"#).is_err());
    }
}
