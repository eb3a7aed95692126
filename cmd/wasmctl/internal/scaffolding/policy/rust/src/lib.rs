//! An admission policy: Pods must have a label.

use kubewarden_policy_sdk::request::ValidationRequest;
use kubewarden_policy_sdk::settings::Validatable;
use kubewarden_policy_sdk::{
    accept_request, protocol_version_guest, reject_request, validate_settings,
};
use serde::{Deserialize, Serialize};
use wapc_guest::{CallResult, register_function};

/// The settings of the policy.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// The name of the label.
    label: String,
}

impl Validatable for Settings {
    fn validate(&self) -> Result<(), String> {
        if self.label.is_empty() {
            return Err("label: the name of a label is required".to_owned());
        }
        Ok(())
    }
}

/// Registers what the host calls.
#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings::<Settings>);
    register_function("protocol_version", protocol_version_guest);
}

fn validate(payload: &[u8]) -> CallResult {
    let review: ValidationRequest<Settings> = ValidationRequest::new(payload)?;
    let (request, label) = (review.request, review.settings.label);
    if request.operation != "CREATE" && request.operation != "UPDATE" {
        return accept_request();
    }
    if request.object["metadata"]["labels"].get(&label).is_none() {
        let message = format!("{} {} has no label {label}", request.kind.kind, request.name);
        return reject_request(Some(message), Some(403), None, None);
    }
    accept_request()
}
