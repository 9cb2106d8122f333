// Answers: see docs/architecture.md.
