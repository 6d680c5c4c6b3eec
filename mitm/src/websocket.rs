//! WebSocket (RFC 6455): an upgrade that the policy admitted, and the frames after it.
//!
//! The upgrade is a request like any other: the same gate, the same verdict, the same dialler. After the 101
//! this module speaks for both sides: it takes frames apart, puts the payload of the messages past a
//! [`MessageInspector`](crate::MessageInspector) per direction, and makes frames of its own of what that lets
//! through. No frame of one side reaches the other as it came, and no byte that is not understood.
//!
//! It refuses extensions: none is offered upstream, an upstream that answers with one is refused, and a
//! reserved bit is a protocol error. So payloads are always readable. It carries no `ws://` in the clear and no
//! WebSocket in an HTTP/2 stream (RFC 8441): that setting is never announced.
//!
//! *handshake* asks the upstream → hyper answers the agent's 101 and lets the connection go → *session* runs two
//! *directions*, each of which reads *frames* and has them written anew by *reframe*.

pub(crate) mod direction;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod reframe;
pub(crate) mod session;
