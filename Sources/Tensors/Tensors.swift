// Tensors: see docs/architecture.md.
