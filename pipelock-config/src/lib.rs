//! A typed model of the part of pipelock's YAML that a bottle uses.
