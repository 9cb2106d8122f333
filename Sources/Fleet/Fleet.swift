// Fleet: see docs/architecture.md.
