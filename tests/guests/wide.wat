(module (memory 1) (table 3000 funcref) (func (export "run")))
