/*
Copyright The WasmAdmission Authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package validation

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

func validateCapabilities(capabilities *wasmadmission.Capabilities,
	fldPath *field.Path) field.ErrorList {
	errs := validateKubernetes(&capabilities.Kubernetes, fldPath.Child("kubernetes"))
	dns, at := &capabilities.DNS, fldPath.Child("dns")
	errs = append(errs, validateBetween(dns.CacheEntries, 1, 100_000, at.Child("cacheEntries"))...)
	errs = append(errs,
		validateDuration(dns.CacheTTL, time.Second, time.Minute, at.Child("cacheTTL"))...)
	return append(errs, validateOCI(&capabilities.OCI, fldPath.Child("oci"))...)
}

// maxRegistries bounds each list of hosts and addresses, because every look walks it.
const maxRegistries = 100

func validateOCI(oci *wasmadmission.OCICapability, fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, list := range []struct {
		hosts []string
		at    *field.Path
	}{{oci.Registries, fldPath.Child("registries")}, {oci.Redirects, fldPath.Child("redirects")}} {
		if len(list.hosts) > maxRegistries {
			errs = append(errs, field.TooMany(list.at, len(list.hosts), maxRegistries))
			continue
		}
		errs = append(errs, validateNames(list.hosts, list.at, validateHostPattern)...)
	}
	if at := fldPath.Child("deniedRanges"); len(oci.DeniedRanges) > maxRegistries {
		errs = append(errs, field.TooMany(at, len(oci.DeniedRanges), maxRegistries))
	} else {
		errs = append(errs, validateNames(oci.DeniedRanges, at, validateRange)...)
	}
	errs = append(errs,
		validateBetween(oci.CacheEntries, 1, 100_000, fldPath.Child("cacheEntries"))...)
	errs = append(errs, validateSize(oci.CacheSize, 64*kibi, gibi, fldPath.Child("cacheSize"))...)
	errs = append(errs,
		validateDuration(oci.CacheTTL, time.Second, time.Hour, fldPath.Child("cacheTTL"))...)
	errs = append(errs,
		validateDuration(oci.FailureTTL, 100*time.Millisecond,
			max(oci.CacheTTL.Duration, time.Second), fldPath.Child("failureTTL"))...)
	errs = append(errs,
		validateDuration(oci.StaleTTL, 0, 24*time.Hour, fldPath.Child("staleTTL"))...)
	errs = append(errs,
		validateDuration(oci.LookTimeout, 100*time.Millisecond, time.Minute,
			fldPath.Child("lookTimeout"))...)
	errs = append(errs, validateBetween(oci.PolicyLooks, 1, 1000, fldPath.Child("policyLooks"))...)
	return append(errs,
		validateBetween(oci.RegistryLooks, 1, 1000, fldPath.Child("registryLooks"))...)
}

// validateRange allows a CIDR in canonical form. One with further bits set may be a typo.
func validateRange(cidr string, fldPath *field.Path) *field.Error {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return field.Invalid(fldPath, cidr,
			"is not an address range: write a CIDR, such as 203.0.113.0/24 or 2001:db8::/48")
	}
	if prefix.Addr().Is4In6() {
		return field.Invalid(fldPath, cidr,
			"is an IPv4 range in IPv6 notation: write it in IPv4 notation")
	}
	if canonical := prefix.Masked().String(); canonical != cidr {
		return field.Invalid(fldPath, cidr, "is not in canonical form: write "+canonical+
			" if that is meant")
	}
	return nil
}

// validateHostPattern allows a host, all names below a domain, and all names.
func validateHostPattern(pattern string, fldPath *field.Path) *field.Error {
	rest, _ := strings.CutPrefix(pattern, "*.")
	if pattern == "*" || hostProblem(rest) == "" {
		return nil
	}
	return field.Invalid(fldPath, pattern,
		"is not a host pattern: write host or host:port in lower case, such as registry.example.com:5000, "+
			"*.example.com for the names below a domain, or * for every name")
}

func validateKubernetes(kubernetes *wasmadmission.KubernetesCapability,
	fldPath *field.Path) field.ErrorList {
	errs := validateNames(kubernetes.Groups, fldPath.Child("groups"), validateUserGroup)
	errs = append(errs,
		validateNames(kubernetes.SecretReaders, fldPath.Child("secretReaders"), nil)...)
	errs = append(errs,
		validateSize(kubernetes.MemorySize, mebi, 64*gibi, fldPath.Child("memorySize"))...)
	errs = append(errs,
		validateDuration(kubernetes.IdleTimeout, time.Minute, 24*time.Hour,
			fldPath.Child("idleTimeout"))...)
	errs = append(errs,
		validateAnswerCache(&kubernetes.GetResource, fldPath.Child("getResource"))...)
	return append(errs, validateAnswerCache(&kubernetes.CanI, fldPath.Child("canI"))...)
}

func validateAnswerCache(cache *wasmadmission.AnswerCache, fldPath *field.Path) field.ErrorList {
	errs := validateBetween(cache.CacheEntries, 1, 100_000, fldPath.Child("cacheEntries"))
	errs = append(errs, validateSize(cache.CacheSize, 64*kibi, gibi, fldPath.Child("cacheSize"))...)
	return append(errs,
		validateDuration(cache.CacheTTL, time.Second, time.Minute, fldPath.Child("cacheTTL"))...)
}

// validateUserGroup rejects system:masters. That group may do everything, so that nothing would
// be left to authorize.
func validateUserGroup(name string, fldPath *field.Path) *field.Error {
	if name != user.SystemPrivilegedGroup {
		return nil
	}
	return field.Invalid(fldPath, name,
		"may do everything, and policies would see everything: bind a role to the user instead")
}

// WarningsForSecretReaders returns one line for each name that no policy and no member of a group
// has. Such a name is not an error: policies come and go while a server runs.
func WarningsForSecretReaders(readers []string, policies []wasmadmission.Policy,
	groups []wasmadmission.PolicyGroup) []string {
	names := sets.New[string]()
	for i := range policies {
		names.Insert(policies[i].Name)
	}
	for i := range groups {
		for j := range groups[i].Policies {
			names.Insert(groups[i].Name + "/" + groups[i].Policies[j].Name)
		}
	}
	var warnings []string
	at := field.NewPath("capabilities", "kubernetes", "secretReaders")
	for i, reader := range readers {
		if !names.Has(reader) {
			warnings = append(warnings,
				fmt.Sprintf(
					"%s: no policy is called %q, so this entry grants nothing: write the name that is in "+
						"messages about the policy, <group>/<member> for a member of a group, or remove the entry",
					at.Index(i), reader))
		}
	}
	return warnings
}
