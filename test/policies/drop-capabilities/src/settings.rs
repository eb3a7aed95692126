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
    /// The capabilities that every container must drop: names without `CAP_`, or `ALL`.
    pub drop: Vec<String>,
}

impl Validatable for Settings {
    fn validate(&self) -> Result<(), String> {
        if self.drop.is_empty() {
            return Err("drop: at least one capability is required".to_owned());
        }
        for (n, name) in self.drop.iter().enumerate() {
            let letters = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            if name.is_empty() || name.starts_with("CAP_") || !name.chars().all(letters) {
                return Err(format!("drop[{n}]: {name:?} is not a name such as NET_RAW"));
            }
            if self.drop[..n].contains(name) {
                return Err(format!("drop[{n}]: {name:?} is in the list already"));
            }
        }
        Ok(())
    }
}
