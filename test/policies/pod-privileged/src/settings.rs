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

/// The settings in a policy manifest. All fields are optional.
#[derive(Serialize, Deserialize, Debug, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Leaves init containers unchecked. Default: false.
    pub skip_init_containers: bool,
    /// Leaves ephemeral containers unchecked. Default: false.
    pub skip_ephemeral_containers: bool,
}

impl Validatable for Settings {
    /// Every combination is valid. Decoding has already refused wrong types and unknown fields.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}
