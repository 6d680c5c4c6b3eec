//! Our engine for the pipelock seat: scans what leaves, on the mitm core.
