// TTRL: see docs/architecture.md.
