//! Helpers for tests of poolmesh.
