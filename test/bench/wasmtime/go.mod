module github.com/wasm-admission/wasm-admission/test/bench/wasmtime

go 1.26.0

replace github.com/wasm-admission/wasm-admission => ../../..

require (
	github.com/bytecodealliance/wasmtime-go/v39 v39.0.1
	github.com/wasm-admission/wasm-admission v0.0.0-00010101000000-000000000000
)

require (
	github.com/tetratelabs/wazero v1.12.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	k8s.io/apimachinery v0.37.2 // indirect
	sigs.k8s.io/json v0.0.0-20250730193827-2d320260d730 // indirect
)
