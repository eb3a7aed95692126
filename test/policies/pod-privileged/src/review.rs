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

//! The parts of a review that the policy reads.
//!
//! The SDK's `ValidationRequest` decodes the whole object into a `serde_json::Value`, a tree with a
//! text for every name. Here, the object stays text until its kind determines which parts to read.

use crate::settings::Settings;
use kubewarden_policy_sdk::request::GroupVersionKind;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The review from the host.
#[derive(Deserialize)]
pub struct Review<'a> {
    pub settings: Settings,
    #[serde(borrow)]
    pub request: Request<'a>,
}

/// The AdmissionRequest.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Request<'a> {
    pub operation: String,
    pub kind: GroupVersionKind,
    /// The object to be stored. None on DELETE.
    #[serde(borrow)]
    pub object: Option<&'a RawValue>,
}
