(module (memory 40) (func (export "run")))
