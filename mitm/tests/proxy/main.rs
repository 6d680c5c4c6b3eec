//! The proxy on real sockets: a real agent side, a real TLS upstream, everything on loopback.

mod bodies;
mod harness;
mod headers;
mod lifecycle;
mod names;
mod outcomes;
mod pooling;
mod protocols;
mod reach;
mod smuggling;
mod tunnels;
