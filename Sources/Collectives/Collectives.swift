// Collectives: see docs/architecture.md.
