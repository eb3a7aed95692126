# Copyright The WasmAdmission Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

# Returns the result of the built-in function that the settings name.
package policy

main := {"response": {"uid": "", "allowed": false, "status": {"message": json.marshal(results[data.check])}}}

zoned := time.parse_rfc3339_ns("2021-01-02T03:04:05+06:00")

results["urlquery.encode"] := urlquery.encode("x=https://w.org/ref/#encoding&a b")

results["urlquery.decode"] := urlquery.decode("x%3Dhttps%3A%2F%2Fw.org%2Fref%2F%23encoding")

results["urlquery.encode_object"] := urlquery.encode_object({"a": "b&c", "d": ["e", "f"]})

results["urlquery.decode_object"] := urlquery.decode_object("a=b%26c&d=e&d=f")

results["base64url.encode_no_pad"] := base64url.encode_no_pad("hello?>")

results["json.is_valid"] := [json.is_valid(`{"a": [1]}`), json.is_valid(`{"a": [1}`)]

results["yaml.is_valid"] := [yaml.is_valid("a: [1, 2]"), yaml.is_valid("a: [1, 2")]

results["yaml.marshal"] := yaml.marshal({"a": [1, "b"]})

results["yaml.unmarshal"] := yaml.unmarshal("a: {b: [1, x]}")

results["hex"] := [hex.encode("a\tz"), hex.decode("61097a")]

results["glob.quote_meta"] := glob.quote_meta("*.github.com")

results["json.patch"] := json.patch({"a": {"foo": 1}}, [{"op": "add", "path": "/a/bar", "value": 2}, {"op": "remove", "path": "/a/foo"}])

results["regex.template_match"] := [regex.template_match("urn:foo:{.*}", "urn:foo:bar:baz", "{", "}"), regex.template_match("urn:foo:{.*}", "urn:bar:x", "{", "}")]

results["regex.find_n"] := [regex.find_n("[oa]+", "foo bar baz", 2), regex.find_n("[oa]+", "foo bar baz", -1)]

results["semver.is_valid"] := [semver.is_valid("1.2.3-rc.1"), semver.is_valid("1.2"), semver.is_valid(1)]

results["semver.compare"] := [semver.compare("1.2.3", "1.2.4"), semver.compare("1.2.3", "1.2.3"), semver.compare("1.10.0", "1.9.0")]

results["sprintf"] := sprintf("%s is %d of %v, %v %05.2f \"%q\"", ["a", 3, [1, "x", {"y": null}], true, 2.5, "z"])

results["time.date"] := time.date(1600000000000000000)

results["time.date_zone"] := time.date([1600000000000000000, "America/New_York"])

results["time.date_utc"] := time.date([1600000000000000000, "UTC"])

results["time.date_local"] := count(time.date([1600000000000000000, "Local"]))

results["time.parse_rfc3339_ns"] := zoned
