// Observatory: see docs/architecture.md.
