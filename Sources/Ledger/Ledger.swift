// Ledger: see docs/architecture.md.
