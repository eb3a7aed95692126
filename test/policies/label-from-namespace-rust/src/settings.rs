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

//! The settings of the policy.

use kubewarden_policy_sdk::settings::Validatable;
use serde::{Deserialize, Serialize};

/// The settings in a policy manifest. All are required.
#[derive(Serialize, Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The name of the label that objects get.
    pub label: String,
}

impl Validatable for Settings {
    fn validate(&self) -> Result<(), String> {
        if self.label.is_empty() {
            return Err("label: the name of a label is required".to_owned());
        }
        Ok(())
    }
}
