//! The git guard: holds the keys, scans every new object of a push, then forwards it.
