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

//! The settings of the policy, with the names of the official policy.

use std::collections::BTreeMap;

use kubewarden_policy_sdk::Result;
use kubewarden_policy_sdk::host_capabilities::verification::{
    KeylessInfo, KeylessPrefixInfo, VerificationResponse, verify_certificate,
    verify_keyless_exact_match, verify_keyless_github_actions, verify_keyless_prefix_match,
    verify_pub_keys_image,
};
use kubewarden_policy_sdk::settings::Validatable;
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

/// The settings in a policy manifest.
#[derive(Serialize, Deserialize, Debug, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The required signatures. An image must have all whose pattern matches it, and at least one must match.
    pub signatures: Vec<Signature>,
    /// Whether images without a digest get the verified digest.
    #[serde(default = "yes")]
    pub modify_images_with_digest: bool,
}

fn yes() -> bool {
    true
}

/// A required signature.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signature {
    /// A pattern for images as written in Pods. `*` matches any text, and `?` one character.
    image: String,
    /// Annotations that must be signed too.
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,

    // Exactly one of these names the signer.
    #[serde(default)]
    pub_keys: Vec<String>,
    #[serde(default)]
    keyless: Vec<KeylessInfo>,
    #[serde(default)]
    keyless_prefix: Vec<KeylessPrefix>,
    github_actions: Option<GithubActions>,
    certificate: Option<Certificate>,
}

/// An issuer, and the prefix of the subject.
#[derive(Serialize, Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeylessPrefix {
    issuer: String,
    url_prefix: String,
}

#[derive(Serialize, Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
struct GithubActions {
    owner: String,
    repo: Option<String>,
}

/// A certificate in PEM, its chain, and whether a log entry is required for the signature.
#[derive(Serialize, Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Certificate {
    pem: String,
    chain: Option<Vec<String>>,
    require_rekor_bundle: bool,
}

impl Signature {
    /// Returns whether the pattern matches an image.
    pub fn covers(&self, image: &str) -> bool {
        WildMatch::new(&self.image).matches(image)
    }

    /// Makes the host verify an image.
    pub fn verify(&self, image: &str) -> Result<VerificationResponse> {
        let annotations = self.annotations.clone();
        if let Some(c) = &self.certificate {
            let (pem, chain) = (c.pem.clone(), c.chain.clone());
            return verify_certificate(image, pem, chain, c.require_rekor_bundle, annotations);
        }
        if let Some(g) = &self.github_actions {
            let (owner, repo) = (g.owner.clone(), g.repo.clone());
            return verify_keyless_github_actions(image, owner, repo, annotations);
        }
        if !self.keyless.is_empty() {
            return verify_keyless_exact_match(image, self.keyless.clone(), annotations);
        }
        if !self.keyless_prefix.is_empty() {
            let prefixes = self.keyless_prefix.iter().map(|p| KeylessPrefixInfo {
                issuer: p.issuer.clone(),
                url_prefix: p.url_prefix.clone(),
            });
            return verify_keyless_prefix_match(image, prefixes.collect(), annotations);
        }
        verify_pub_keys_image(image, self.pub_keys.clone(), annotations)
    }

    fn ways(&self) -> usize {
        usize::from(!self.pub_keys.is_empty())
            + usize::from(!self.keyless.is_empty())
            + usize::from(!self.keyless_prefix.is_empty())
            + usize::from(self.github_actions.is_some())
            + usize::from(self.certificate.is_some())
    }
}

impl Validatable for Settings {
    fn validate(&self) -> std::result::Result<(), String> {
        if self.signatures.is_empty() {
            return Err("signatures: at least one is required".into());
        }
        for (n, signature) in self.signatures.iter().enumerate() {
            if signature.image.is_empty() {
                return Err(format!("signatures[{n}].image: a pattern is required"));
            }
            if signature.ways() != 1 {
                return Err(format!(
                    "signatures[{n}]: exactly one of pubKeys, keyless, keylessPrefix, githubActions and certificate is required"
                ));
            }
        }
        Ok(())
    }
}
