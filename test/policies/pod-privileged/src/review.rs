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

//! As much of a review as the policy looks at.
//!
//! The SDK's `ValidationRequest` makes a `serde_json::Value` of the whole object, a tree with a text for every name in
//! it. Here the object stays text until its kind says what to read of it.

use crate::settings::Settings;
use kubewarden_policy_sdk::request::GroupVersionKind;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What the host asks.
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
    /// The object as it would be stored; none on DELETE.
    #[serde(borrow)]
    pub object: Option<&'a RawValue>,
}
