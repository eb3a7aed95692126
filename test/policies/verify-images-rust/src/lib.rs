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

//! A Kubewarden policy similar to the official `verify-image-signatures`. The images of Pods and of
//! workloads' Pod templates must be signed as the settings require, and are pinned to the verified digest.
//!
//! The policy denies unsigned images. If a registry does not return an image's digest, the policy fails, and the failure
//! policy decides. With `Ignore`, patterns should name registries, or an image passes from any registry that is down.
//!
//! The object stays JSON, because a type would lose unknown fields.

mod settings;

use kubewarden_policy_sdk::host_capabilities::oci::get_manifest_digest;
use kubewarden_policy_sdk::request::ValidationRequest;
use kubewarden_policy_sdk::settings::Validatable;
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

/// Why a request is not accepted.
enum Problem {
    /// An image does not have the required signatures.
    Refused(String),
    /// The signatures of an image cannot be checked.
    Unknown(String),
}

fn validate(payload: &[u8]) -> CallResult {
    let review: ValidationRequest<Settings> = ValidationRequest::new(payload)?;
    let settings = review.settings;
    settings.validate()?;
    if review.request.operation == "DELETE" {
        return accept_request();
    }
    let mut object = review.request.object;
    match change(&mut object, &settings, verify) {
        Ok(true) => mutate_request(object),
        Ok(false) => accept_request(),
        Err(Problem::Refused(message)) => reject_request(Some(message), None, None, None),
        Err(Problem::Unknown(message)) => Err(message.into()),
    }
}

/// The paths of the Pod specification in the different kinds.
const POD_SPECS: [&str; 3] = [
    "/spec/jobTemplate/spec/template/spec",
    "/spec/template/spec",
    "/spec",
];

/// Verifies the images of an object and, if configured, pins them. Returns
/// whether that changed the object. Objects without images do not change.
fn change(
    object: &mut Value,
    settings: &Settings,
    verify: impl Fn(&Settings, &str) -> Result<String, Problem>,
) -> Result<bool, Problem> {
    let Some(path) = POD_SPECS.iter().find(|path| object.pointer(path).is_some()) else {
        return Ok(false);
    };
    let mut changed = false;
    for image in object.pointer_mut(path).into_iter().flat_map(images) {
        let name = image.as_str().unwrap_or_default().to_owned();
        let digest = verify(settings, &name)?;
        if settings.modify_images_with_digest && !name.contains('@') {
            *image = json!(format!("{name}@{digest}"));
            changed = true;
        }
    }
    Ok(changed)
}

/// Returns the images in a Pod specification, which belong to containers and to volumes.
fn images(spec: &mut Value) -> Vec<&mut Value> {
    let mut found = Vec::new();
    for (field, list) in spec.as_object_mut().into_iter().flatten() {
        let path = match field.as_str() {
            "initContainers" | "containers" | "ephemeralContainers" => "/image",
            "volumes" => "/image/reference",
            _ => continue,
        };
        let entries = list.as_array_mut().into_iter().flatten();
        found.extend(entries.filter_map(|entry| entry.pointer_mut(path)));
    }
    found
}

/// Verifies an image and returns its digest.
fn verify(settings: &Settings, image: &str) -> Result<String, Problem> {
    let refuse = |why: String| Problem::Refused(format!("Image {image:?} is not accepted: {why}"));
    let mut verified = None;
    for signature in settings.signatures.iter().filter(|s| s.covers(image)) {
        let answer = match signature.verify(image) {
            Ok(answer) => answer,
            // The host returns the same error for a missing signature and for a missing registry. If the
            // digest is not available either, the registry is missing, and nothing is known about signatures.
            Err(error) => match get_manifest_digest(image) {
                Ok(_) => return Err(refuse(error.to_string())),
                Err(_) => {
                    return Err(Problem::Unknown(format!(
                        "image {image:?} cannot be verified: {error}"
                    )));
                }
            },
        };
        if !answer.is_trusted {
            return Err(refuse("it is not trusted".into()));
        }
        // The tag may move between two host calls.
        if *verified.get_or_insert(answer.digest.clone()) != answer.digest {
            return Err(refuse("it changes while it is verified".into()));
        }
    }
    verified.ok_or_else(|| refuse("no signature is named for it".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_pinned_once() {
        let mut object = json!({"spec": {"template": {"spec": {
            "initContainers": [{"image": "a"}],
            "containers": [{"image": "b:1", "name": "b"}, {"image": "c@sha256:1"}, {"name": "none"}],
            "volumes": [{"emptyDir": {}}, {"image": {"reference": "d"}}],
        }}}});
        let settings = Settings {
            modify_images_with_digest: true,
            ..Settings::default()
        };
        let pin = |_: &Settings, _: &str| Ok("sha256:0".to_owned());
        assert!(matches!(change(&mut object, &settings, pin), Ok(true)));
        assert_eq!(
            object["spec"]["template"]["spec"],
            json!({
                "initContainers": [{"image": "a@sha256:0"}],
                "containers": [{"image": "b:1@sha256:0", "name": "b"}, {"image": "c@sha256:1"}, {"name": "none"}],
                "volumes": [{"emptyDir": {}}, {"image": {"reference": "d@sha256:0"}}],
            })
        );
        assert!(matches!(change(&mut object, &settings, pin), Ok(false)));
    }
}
