module github.com/wasm-admission/wasm-admission/sdk/go

go 1.26.0
