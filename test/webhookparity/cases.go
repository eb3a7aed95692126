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

package webhookparity

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Cases returns all cases.
func Cases() []Case {
	return slices.Concat(podCases(), workloadCases(), serviceCases(), configMapCases(),
		customResourceCases(), refusedCases())
}

func resource(group, version, name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: name}
}

const pod = `{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {app: a}}, spec: {containers: [{name: c, image: "registry.example.com/c:1"}]}}`

func podCases() []Case {
	of := func(name string, steps ...step) Case {
		return Case{Name: "pod/" + name, resource: resource("", "v1", "pods"), steps: steps}
	}
	created := func(name, object string) Case {
		return of(name, step{verb: "create", object: object})
	}
	cases := []Case{
		created("create", pod),
		created("several containers",
			`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {initContainers: [{name: i, image: i, restartPolicy: Always}], containers: [{name: c, image: c}, {name: d, image: "d@sha256:0000000000000000000000000000000000000000000000000000000000000000"}]}}`),
		created("scheduled",
			`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: node-1, containers: [{name: c, image: c}]}}`),
		created("with its sidecar",
			`{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {team: blue}, annotations: {example.com/seen: "no"}}, spec: {containers: [{name: proxy, image: own}]}}`),
		created("quantities",
			`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: c, resources: {requests: {cpu: "0.5", memory: 1e3}, limits: {cpu: 1500m, memory: 1.5Gi}}}]}}`),
		created("volumes and environment",
			`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {volumes: [{name: v, configMap: {name: m, items: [{key: k, path: p, mode: 0400}]}}, {name: e, emptyDir: {sizeLimit: 1Gi}}], containers: [{name: c, image: c, env: [{name: E, value: ""}, {name: F, valueFrom: {fieldRef: {fieldPath: metadata.name}}}], volumeMounts: [{name: v, mountPath: /v, readOnly: true}]}]}}`),
		created("probes and security",
			`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {securityContext: {runAsUser: 1000, sysctls: []}, tolerations: [{operator: Exists}], containers: [{name: c, image: c, livenessProbe: {httpGet: {port: http, path: /}}, ports: [{name: http, containerPort: 80}], securityContext: {capabilities: {drop: [ALL]}}}]}}`),
		created("nulls",
			`{apiVersion: v1, kind: Pod, metadata: {name: a, labels: null, annotations: {}}, spec: {nodeSelector: {}, affinity: null, containers: [{name: c, image: c, args: []}]}}`),
		created("a generated name",
			`{apiVersion: v1, kind: Pod, metadata: {generateName: a-}, spec: {containers: [{name: c, image: c}]}}`),
		created("an annotation to remove",
			`{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {secret: s, other: o}, finalizers: [example.com/f]}, spec: {containers: [{name: c, image: c}]}}`),
		of("dry run", step{verb: "dry-run", object: pod}),
		of("merge patch", step{verb: "create", object: pod},
			step{verb: "merge", object: `{"metadata":{"labels":{"team":null,"more":"x"}}}`}),
		of("strategic patch", step{verb: "create", object: pod},
			step{
				verb:   "strategic",
				object: `{"spec":{"containers":[{"name":"c","image":"c:2"}]}}`,
			}),
		of("json patch", step{verb: "create", object: pod},
			step{verb: "json", object: `[{"op":"remove","path":"/metadata/annotations"}]`}),
		of("apply", step{verb: "apply", object: pod}, step{verb: "apply", object: pod},
			step{
				verb:   "apply",
				object: `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: "c:2"}]}}`,
			}),
	}
	late := created("after another mutator", pod)
	late.late = true
	return append(cases, late)
}

const deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 500, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {terminationGracePeriodSeconds: 600, containers: [{name: c, image: c}]}}}}`

func workloadCases() []Case {
	of := func(name string, steps ...step) Case {
		return Case{
			Name:     "deployment/" + name,
			resource: resource("apps", "v1", "deployments"),
			steps:    steps,
		}
	}
	created := step{verb: "create", object: deployment}
	cases := []Case{
		of("create", created),
		of("update", created, step{verb: "update", object: deployment}),
		of("merge patch", created,
			step{
				verb:   "merge",
				object: `{"spec":{"replicas":77,"template":{"spec":{"nodeSelector":{"a":"b"}}}}}`,
			}),
		of("strategic patch", created,
			step{
				verb:   "strategic",
				object: `{"spec":{"template":{"spec":{"containers":[{"name":"d","image":"d"},{"name":"proxy","$patch":"delete"}]}}}}`,
			}),
		of("json patch", created,
			step{
				verb:   "json",
				object: `[{"op":"replace","path":"/spec/replicas","value":1000},{"op":"remove","path":"/metadata/labels/team"}]`,
			}),
		of("apply", step{verb: "apply", object: deployment},
			step{
				verb:   "apply",
				object: `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: "c:2"}]}}}}`,
			}),
		of("apply by two", step{verb: "apply", object: deployment},
			step{
				verb:    "apply",
				manager: "other",
				object:  `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 5}}`,
			},
			step{
				verb:    "force",
				manager: "other",
				object:  `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, labels: {team: red}}, spec: {replicas: 5}}`,
			}),
		of("scale", created, step{
			verb:        "merge",
			subresource: "scale",
			object:      `{"spec":{"replicas":99}}`,
		}, step{verb: "merge", subresource: "scale", object: `{"spec":{"replicas":2}}`}),
		of("scale update", created, step{
			verb:        "update",
			subresource: "scale",
			object:      `{apiVersion: autoscaling/v1, kind: Scale, metadata: {name: a, namespace: ""}, spec: {replicas: 99}}`,
		}),
	}
	late := of("after another mutator", created)
	late.late = true
	two, twoPods := of("two policies", created,
		step{verb: "merge", object: `{"spec":{"replicas":6}}`}), podCases()[0]
	two.variant, twoPods.variant, twoPods.Name = "two", "two", "pod/two policies"
	return append(append(cases, late, two, twoPods), otherWorkloadCases()...)
}

func otherWorkloadCases() []Case {
	other := func(kind, group, name, object string) Case {
		return Case{
			Name:     kind,
			resource: resource(group, "v1", name),
			steps:    []step{{verb: "create", object: object}},
		}
	}
	const template = `template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: c}]}}`
	const jobTemplate = `template: {spec: {restartPolicy: Never, containers: [{name: c, image: c}]}}`
	return []Case{
		other("statefulset", "apps", "statefulsets",
			`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a}, spec: {replicas: 20, serviceName: s, selector: {matchLabels: {app: a}}, `+
				template+
				`, volumeClaimTemplates: [{metadata: {name: v}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}`),
		other("daemonset", "apps", "daemonsets",
			`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {selector: {matchLabels: {app: a}}, `+
				template+`}}`),
		other("job", "batch", "jobs",
			`{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {`+jobTemplate+`}}`),
		other("cronjob", "batch", "cronjobs",
			`{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {schedule: "* * * * *", jobTemplate: {spec: {`+
				jobTemplate+`}}}}`),
	}
}

func serviceCases() []Case {
	of := func(name string, steps ...step) Case {
		return Case{Name: "service/" + name, resource: resource("", "v1", "services"), steps: steps}
	}
	const service = `{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {app: a}, ports: [{port: 80, targetPort: http}]}}`
	return []Case{
		of("create", step{verb: "create", object: service}),
		of("node port",
			step{
				verb:   "create",
				object: `{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: NodePort, ports: [{name: a, port: 80}, {name: b, port: 81, protocol: UDP}]}}`,
			}),
		of("headless",
			step{
				verb:   "create",
				object: `{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: None, ports: [{port: 80}]}}`,
			}),
		of("external name",
			step{
				verb:   "create",
				object: `{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: ExternalName, externalName: example.com}}`,
			}),
		of("merge patch", step{verb: "create", object: service},
			step{verb: "merge", object: `{"spec":{"type":"NodePort","ports":[{"port":8080}]}}`}),
		of("apply", step{verb: "apply", object: service},
			step{
				verb:   "apply",
				object: `{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {app: b}, ports: [{port: 80, targetPort: 8080}]}}`,
			}),
	}
}

func configMapCases() []Case {
	of := func(name string, steps ...step) Case {
		return Case{
			Name:     "configmap/" + name,
			resource: resource("", "v1", "configmaps"),
			steps:    steps,
		}
	}
	const configMap = `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {text: "<&>\u2028 é \\", empty: ""}, binaryData: {b: AAEC}}`
	return []Case{
		of("create", step{verb: "create", object: configMap}),
		of("immutable",
			step{
				verb:   "create",
				object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, immutable: true, data: {a: b}}`,
			}, step{verb: "merge", object: `{"data":{"a":"c"}}`}),
		of("update", step{verb: "create", object: configMap},
			step{
				verb:   "update",
				object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {other: "1"}}`,
			}),
		of("applied empty", step{verb: "apply", object: configMap},
			step{verb: "apply", object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`}),
	}
}

func customResourceCases() []Case {
	of := func(name, version string, steps ...step) Case {
		return Case{
			Name:     "widget/" + name,
			resource: resource("parity.example.com", version, "widgets"),
			steps:    steps,
		}
	}
	const (
		widget   = `{apiVersion: parity.example.com/v1, kind: Widget, metadata: {name: a}, spec: {replicas: 50, serial: 9007199254740993, size: 9, ratio: 1.50, port: "80", nodeName: node-1, tags: [a, b], parts: [{name: p}], free: {x: [null, 1.0, {}]}}}`
		widgetV2 = `{apiVersion: parity.example.com/v2, kind: Widget, metadata: {name: a}, spec: {replicas: 50, nodeName: node-1, unknown: {a: 1}}}`
	)
	created := step{verb: "create", object: widget}
	return []Case{
		of("create", "v1", created),
		of("nulls", "v1",
			step{
				verb:   "create",
				object: `{apiVersion: parity.example.com/v1, kind: Widget, metadata: {name: a, labels: {}}, spec: {size: null, tags: null, free: null}}`,
			}),
		of("unknown fields", "v1",
			step{
				verb:   "create",
				object: `{apiVersion: parity.example.com/v1, kind: Widget, metadata: {name: a, unknown: 1}, spec: {unknown: 1, parts: [{name: p, unknown: 1}], free: {unknown: 1}}, unknown: 1}`,
			}),
		of("no spec", "v1",
			step{
				verb:   "create",
				object: `{apiVersion: parity.example.com/v1, kind: Widget, metadata: {name: a}}`,
			}),
		of("another version", "v2", step{verb: "create", object: widgetV2},
			step{verb: "merge", object: `{"spec":{"replicas":60}}`}),
		of("update", "v1", created,
			step{
				verb:   "update",
				object: `{apiVersion: parity.example.com/v1, kind: Widget, metadata: {name: a}, spec: {replicas: 11}}`,
			}),
		of("merge patch", "v1", created,
			step{
				verb:   "merge",
				object: `{"spec":{"parts":[{"name":"q","weight":7}],"size":100,"nodeName":"m"}}`,
			}),
		of("json patch", "v1", created,
			step{
				verb:   "json",
				object: `[{"op":"add","path":"/spec/tags/-","value":"c"},{"op":"remove","path":"/metadata/labels"}]`,
			}),
		of("apply", "v1", step{verb: "apply", object: widget},
			step{
				verb:    "apply",
				manager: "other",
				object:  `{apiVersion: parity.example.com/v1, kind: Widget, metadata: {name: a}, spec: {tags: [c], parts: [{name: q}]}}`,
			},
			step{
				verb:   "apply",
				object: `{apiVersion: parity.example.com/v1, kind: Widget, metadata: {name: a}, spec: {tags: [a]}}`,
			}),
		of("scale", "v1", created,
			step{verb: "merge", subresource: "scale", object: `{"spec":{"replicas":99}}`}),
		{Name: "blob", resource: resource("parity.example.com", "v1", "blobs"), steps: []step{
			{
				verb:   "create",
				object: `{apiVersion: parity.example.com/v1, kind: Blob, metadata: {name: a, annotations: {secret: s}}, spec: {replicas: 11.0, size: 1e2, deep: [[{}]]}, any: null}`,
			},
		}},
	}
}

// refusedCases returns the cases in which the policies deny the request, or make the object
// invalid.
func refusedCases() []Case {
	var cases []Case
	for _, variant := range []string{"breaking", "denying"} {
		for _, c := range []Case{
			podCases()[0], workloadCases()[0], serviceCases()[0], customResourceCases()[0],
		} {
			c.variant, c.Name = variant, variant+"/"+c.Name
			cases = append(cases, c)
		}
	}
	nonsense := configMapCases()[0]
	nonsense.variant, nonsense.Name = "nonsense", "nonsense/"+nonsense.Name
	return append(cases, nonsense)
}
