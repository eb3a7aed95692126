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

package module

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2/registry/remote"
)

func TestADialOfItsOwnIsTheOnlyWayOut(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("refused")}
	var dialed []string
	r, err := NewRegistries(RegistriesOptions{
		Sources: Sources{
			Insecure: []string{"insecure.example"},
			Mirrors: []Mirror{{
				Prefix: "registry://a.example/", Replacement: "registry://mirror.example:5000/",
			}},
		},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dialed = append(dialed, address)
			return nil, refused
		},
	})
	require.NoError(t, err)
	for _, uri := range []string{"registry://a.example/app", "registry://insecure.example/app:v1"} {
		err := r.Each(t.Context(), uri, func(from *remote.Repository, name string) error {
			_, err := from.Resolve(t.Context(), name)
			return err
		})
		require.ErrorIs(t, err, refused)
		require.ErrorContains(t, err, "fetch "+uri)
	}
	require.Equal(t, []string{
		"mirror.example:5000", "a.example:443", "insecure.example:443", "insecure.example:80",
	}, dialed)
	require.Nil(t, r.hosts.public.Proxy)
	require.Nil(t, r.hosts.unverified.Proxy)
	require.NotNil(t, newHosts(&Sources{}, nil).public.Proxy, "modules may come through one")
	require.Equal(t, []string{"mirror.example:5000"}, r.sources.MirrorHosts())

	require.ErrorContains(t, r.Each(t.Context(), "https://a.example/app", nil), "registry://")
	_, err = NewRegistries(RegistriesOptions{Sources: Sources{DockerConfig: "relative"}})
	require.ErrorContains(t, err, "sources.dockerConfig")
}
