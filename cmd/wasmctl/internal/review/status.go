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

package review

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Status is the part of metav1.Status that policies can set.
type Status struct {
	Message string                `json:"message,omitempty"`
	Reason  string                `json:"reason,omitempty"`
	Details *metav1.StatusDetails `json:"details,omitempty"`
	// Code is similar to an HTTP status. It is 0 if there is none.
	Code int32 `json:"code,omitempty"`
}

// withMessage returns a status with another message, and keeps the previous one as a cause.
func (s *Status) withMessage(message string) *Status {
	if s == nil {
		return &Status{Message: message}
	}
	if s.Message != "" {
		s.addCause(metav1.StatusCause{Message: s.Message})
	}
	s.Message = message
	return s
}

func (s *Status) addCause(cause metav1.StatusCause) {
	if s.Details == nil {
		s.Details = &metav1.StatusDetails{}
	}
	s.Details.Causes = append(s.Details.Causes, cause)
}
