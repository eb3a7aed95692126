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

package registration

import (
	"context"
	"fmt"
	"maps"
	"regexp"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes"
)

// client reads and writes one kind of configuration.
type client[T metav1.Object] interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (T, error)
	Create(ctx context.Context, object T, o metav1.CreateOptions) (T, error)
	Update(ctx context.Context, object T, o metav1.UpdateOptions) (T, error)
}

// kind is a kind of configuration and how to reach its parts.
type kind[T metav1.Object, W any] struct {
	api client[T]
	// webhooks returns the webhooks of a configuration; name and client return parts of a webhook.
	webhooks func(T) *[]W
	name     func(*W) string
	client   func(*W) *clientConfig
}

// Short names for the long ones of the API.
type (
	validatingConfiguration = admissionregistrationv1.ValidatingWebhookConfiguration
	mutatingConfiguration   = admissionregistrationv1.MutatingWebhookConfiguration
	validatingWebhook       = admissionregistrationv1.ValidatingWebhook
	mutatingWebhook         = admissionregistrationv1.MutatingWebhook
	clientConfig            = admissionregistrationv1.WebhookClientConfig
)

func validatingKind(c kubernetes.Interface) *kind[*validatingConfiguration, validatingWebhook] {
	return &kind[*validatingConfiguration, validatingWebhook]{
		api:      c.AdmissionregistrationV1().ValidatingWebhookConfigurations(),
		webhooks: func(c *validatingConfiguration) *[]validatingWebhook { return &c.Webhooks },
		name:     func(w *validatingWebhook) string { return w.Name },
		client:   func(w *validatingWebhook) *clientConfig { return &w.ClientConfig },
	}
}

func mutatingKind(c kubernetes.Interface) *kind[*mutatingConfiguration, mutatingWebhook] {
	return &kind[*mutatingConfiguration, mutatingWebhook]{
		api:      c.AdmissionregistrationV1().MutatingWebhookConfigurations(),
		webhooks: func(c *mutatingConfiguration) *[]mutatingWebhook { return &c.Webhooks },
		name:     func(w *mutatingWebhook) string { return w.Name },
		client:   func(w *mutatingWebhook) *clientConfig { return &w.ClientConfig },
	}
}

// write writes both configurations. It first writes everything new and then removes everything old.
// So a policy that moves from one configuration to the other is in both for a moment, and never in
// none.
func write(ctx context.Context, c kubernetes.Interface, want Configurations, changed news) error {
	validating, mutating := validatingKind(c), mutatingKind(c)
	pass := func(stayValidating, stayMutating sets.Set[string]) error {
		err := validating.write(ctx, want.Validating.DeepCopy(), changed, stayValidating)
		if err != nil {
			return fmt.Errorf("writing validatingwebhookconfigurations/%s: %w",
				want.Validating.Name, err)
		}
		if err := mutating.write(ctx, want.Mutating.DeepCopy(), changed, stayMutating); err != nil {
			return fmt.Errorf("writing mutatingwebhookconfigurations/%s: %w", want.Mutating.Name,
				err)
		}
		return nil
	}
	if changed.policies {
		err := pass(mutating.names(want.Mutating), validating.names(want.Validating))
		if err != nil {
			return err
		}
	}
	return pass(nil, nil)
}

func (k *kind[T, W]) names(configuration T) sets.Set[string] {
	names := sets.New[string]()
	for n := range *k.webhooks(configuration) {
		names.Insert(k.name(&(*k.webhooks(configuration))[n]))
	}
	return names
}

// hashValue matches the values that servers give to hashAnnotation. No server wrote a configuration
// with another value or without one: somebody replaced it.
var hashValue = regexp.MustCompile(`^[0-9a-f]{16}$`)

// write updates or creates a configuration. It keeps the existing webhooks with the names in stay.
func (k *kind[T, W]) write(ctx context.Context, want T, changed news, stay sets.Set[string]) error {
	is, err := k.api.Get(ctx, want.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = k.api.Create(ctx, want, metav1.CreateOptions{FieldManager: managedBy})
		return err
	}
	if err != nil {
		return err
	}
	if is.GetLabels()[managedByLabel] != managedBy {
		return fmt.Errorf(
			"it belongs to another program, because it lacks label %s=%s: remove it, or choose another name with --configuration-name",
			managedByLabel, managedBy)
	}
	found := is.GetAnnotations()[hashAnnotation]
	own := found == want.GetAnnotations()[hashAnnotation]
	if !own && hashValue.MatchString(found) && !changed.policies {
		return nil // it is that of a server with other policies
	}
	k.keep(is, want, changed, stay)
	if own && equality.Semantic.DeepEqual(k.webhooks(is), k.webhooks(want)) {
		return nil
	}
	*k.webhooks(is) = *k.webhooks(want)
	annotations := maps.Clone(is.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	maps.Copy(annotations, want.GetAnnotations())
	is.SetAnnotations(annotations)
	_, err = k.api.Update(ctx, is, metav1.UpdateOptions{FieldManager: managedBy})
	return err
}

// keep copies parts of the existing configuration to the wanted one: the webhooks with the names in
// stay, and certificates that others wrote, such as a server that learned of new ones first.
func (k *kind[T, W]) keep(is, want T, changed news, stay sets.Set[string]) {
	wanted := k.webhooks(want)
	bundles := map[string][]byte{}
	names := k.names(want)
	for n := range *k.webhooks(is) {
		w := &(*k.webhooks(is))[n]
		bundles[k.name(w)] = k.client(w).CABundle
		if stay.Has(k.name(w)) && !names.Has(k.name(w)) {
			*wanted = append(*wanted, *w)
		}
	}
	for n := range *wanted {
		client := k.client(&(*wanted)[n])
		if bundle := bundles[k.name(&(*wanted)[n])]; len(bundle) > 0 &&
			(changed == news{} || len(client.CABundle) == 0) {
			client.CABundle = bundle
		}
	}
}
