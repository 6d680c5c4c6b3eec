//! The bytes that are sent. All of them hold the token, so that whoever sees one knows whose it is.

use std::net::{Ipv4Addr, Ipv6Addr};

/// ICMP's echo request (RFC 792, RFC 4443).
const ECHO_REQUEST_4: u8 = 8;
const ECHO_REQUEST_6: u8 = 128;
/// The protocol number for experiments (RFC 3692): no host has a use for it.
const EXPERIMENT: u8 = 253;

/// The payload of datagrams and streams.
pub(crate) fn text(token: &str) -> Vec<u8> {
    format!("bottle-probe {token}\n").into_bytes()
}

/// An ICMPv4 echo request.
pub(crate) fn echo_request_4(token: &str) -> Vec<u8> {
    let mut packet = echo(ECHO_REQUEST_4, token);
    let sum = checksum(&packet).to_be_bytes();
    if let Some(field) = packet.get_mut(2..4) {
        field.copy_from_slice(&sum);
    }
    packet
}

/// An ICMPv6 echo request, whose checksum is the kernel's to fill in (RFC 3542).
pub(crate) fn echo_request_6(token: &str) -> Vec<u8> {
    echo(ECHO_REQUEST_6, token)
}

/// Type, code, checksum, identifier, sequence number, data.
fn echo(kind: u8, token: &str) -> Vec<u8> {
    let mut packet = vec![kind, 0, 0, 0, 0xb0, 0x77, 0, 1];
    packet.extend(text(token));
    packet
}

/// A whole IPv4 packet with its header; the kernel fills in the source and the checksum (raw(7)).
pub(crate) fn ipv4(to: Ipv4Addr, token: &str) -> Vec<u8> {
    let payload = text(token);
    let length = u16::try_from(20 + payload.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, EXPERIMENT, 0, 0];
    packet.extend([0; 4]);
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

/// A whole IPv6 packet with its header; nothing is filled in for it, and the unspecified source is as good as any here.
pub(crate) fn ipv6(to: Ipv6Addr, token: &str) -> Vec<u8> {
    let payload = text(token);
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], EXPERIMENT, 64];
    packet.extend(Ipv6Addr::UNSPECIFIED.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

/// A question for the address of a name with the token in it, which nobody has (RFC 2606). Any answer proves a resolver.
pub(crate) fn dns_question(token: &str) -> Vec<u8> {
    // Recursion desired, one question.
    let mut packet = vec![0xb0, 0x77, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [token, "bottle-probe", "invalid"] {
        packet.push(u8::try_from(label.len()).unwrap_or(63));
        packet.extend(label.bytes());
    }
    // The root, type A, class IN.
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

/// The same behind its length, as streams carry it.
pub(crate) fn dns_question_on_a_stream(token: &str) -> Vec<u8> {
    let question = dns_question(token);
    let mut packet = u16::try_from(question.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes()
        .to_vec();
    packet.extend(question);
    packet
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from_be_bytes([0, 0, *pair.first().unwrap_or(&0), *pair.get(1).unwrap_or(&0)]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_holds_the_token() {
        let token = "t0ken-of-this-run";
        for packet in [
            text(token),
            echo_request_4(token),
            echo_request_6(token),
            ipv4(Ipv4Addr::new(10, 0, 0, 1), token),
            ipv6(Ipv6Addr::LOCALHOST, token),
            dns_question(token),
            dns_question_on_a_stream(token),
        ] {
            assert!(
                packet
                    .windows(token.len())
                    .any(|window| window == token.as_bytes())
            );
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        // RFC 1071, section 3: these bytes sum to 0xddf2.
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2
        );
        let packet = echo_request_4("t");
        assert_eq!(checksum(&packet), 0, "a packet with its checksum sums to nothing");
    }

    #[test]
    fn the_question_is_one_that_a_resolver_understands() {
        assert_eq!(
            dns_question("t"),
            b"\xb0\x77\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01t\x0cbottle-probe\x07invalid\x00\x00\x01\x00\x01"
        );
    }

    #[test]
    fn the_header_tells_the_length_and_the_destination() {
        let packet = ipv4(Ipv4Addr::new(10, 1, 2, 3), "t");
        assert_eq!(
            usize::from(u16::from_be_bytes([packet[2], packet[3]])),
            packet.len()
        );
        assert_eq!(packet[16..20], [10, 1, 2, 3]);
        let packet = ipv6(Ipv6Addr::LOCALHOST, "t");
        assert_eq!(
            usize::from(u16::from_be_bytes([packet[4], packet[5]])) + 40,
            packet.len()
        );
        assert_eq!(packet[24..40], Ipv6Addr::LOCALHOST.octets());
    }
}
