;; A guest by the ABI of the Open Policy Agent that changes its table, which no reset brings
;; back: each evaluation gets a new instance. Its answer is its data.
;;
;; Rebuild with: wat2wasm fresh.wat
(module
  (import "env" "memory" (memory 2))
  (data (i32.const 16) "{}\00")
  (data (i32.const 32) "{\"policy/main\":0}\00")
  (global $heap (mut i32) (i32.const 4096))
  (global $data (mut i32) (i32.const 16))
  (table 1 funcref)

  (func (export "builtins") (result i32) (i32.const 16))
  (func (export "entrypoints") (result i32) (i32.const 32))
  (func (export "opa_heap_ptr_get") (result i32) (global.get $heap))
  (func (export "opa_heap_ptr_set") (param i32) (global.set $heap (local.get 0)))
  (func (export "opa_malloc") (param $size i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (i32.add (local.get $size) (i32.const 1)))))
  (func (export "opa_json_parse") (param i32 i32) (result i32) (local.get 0))
  (func (export "opa_json_dump") (param i32) (result i32) (local.get 0))
  (func (export "opa_eval_ctx_new") (result i32) (i32.const 0))
  (func (export "opa_eval_ctx_set_input") (param i32 i32))
  (func (export "opa_eval_ctx_set_data") (param i32 i32) (global.set $data (local.get 1)))
  (func (export "opa_eval_ctx_set_entrypoint") (param i32 i32))
  (func (export "opa_eval_ctx_get_result") (param i32) (result i32) (global.get $data))
  (func (export "eval") (param i32) (result i32)
    (if (i32.eqz (ref.is_null (table.get 0 (i32.const 0)))) (then (unreachable)))
    (table.set 0 (i32.const 0) (ref.func $touched))
    (i32.const 0))
  (func $touched (export "touched")))
