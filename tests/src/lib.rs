//! Whole-path tests: the harness that starts real parts, and the scenarios.
