use super::*;
use proptest::prelude::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Everything that a reader makes of `bytes`, cut into `step`s, with payloads joined; and how it ended.
fn read(origin: Origin, bytes: &[u8], step: usize) -> (Vec<Event>, Option<ProtocolError>) {
    let mut reader = FrameReader::new(origin);
    let mut buffer = BytesMut::new();
    let mut events = Vec::new();
    for piece in bytes.chunks(step.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match reader.next(&mut buffer) {
                Ok(None) => break,
                Ok(Some(Event::Payload(more))) => match events.last_mut() {
                    Some(Event::Payload(before)) => *before = [&before[..], &more].concat().into(),
                    _ => events.push(Event::Payload(more)),
                },
                Ok(Some(event)) => events.push(event),
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

fn refused(origin: Origin, bytes: &[u8]) -> ProtocolError {
    read(origin, bytes, usize::MAX).1.expect("a protocol error")
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    let hello = Event::Payload(Bytes::from_static(b"Hello"));
    let whole = vec![
        Event::Begin(Kind::Text),
        hello.clone(),
        Event::FrameEnd { last: true },
    ];
    let plain = b"\x81\x05Hello";
    assert_eq!(read(Origin::Server, plain, 1), (whole.clone(), None));
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(read(Origin::Client, masked, 1), (whole, None));
    let ping = b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let pinged = vec![Event::Control(Control::Ping, Bytes::from_static(b"Hello"))];
    assert_eq!(read(Origin::Client, ping, 1), (pinged, None));
}

#[test]
fn what_the_protocol_forbids_is_refused() {
    use ProtocolError as E;
    for (bytes, error) in [
        (&b"\xc1\x00"[..], E::ReservedBit),
        (b"\xa1\x00", E::ReservedBit),
        (b"\x91\x00", E::ReservedBit),
        (b"\x83\x00", E::Opcode),
        (b"\x8b\x00", E::Opcode),
        (b"\x81\x80", E::Masked),
        (b"\x81\x7e\x00\x7d", E::Length),
        (b"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff", E::Length),
        (b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", E::Length),
        (b"\x09\x00", E::Control),
        (b"\x89\x7e\x00\x7e", E::Control),
        (b"\x80\x00", E::NothingToContinue),
        (b"\x81\x00\x80\x00", E::NothingToContinue),
        (b"\x01\x00\x81\x00", E::Interrupted),
        (b"\x88\x01\x03", E::CloseCode),
        (b"\x88\x02\x03\xed", E::CloseCode),
        (b"\x88\x02\x00\x00", E::CloseCode),
    ] {
        assert_eq!(refused(Origin::Server, bytes), error, "{bytes:02x?}");
    }
    assert_eq!(refused(Origin::Client, b"\x81\x00"), E::NotMasked);
}

#[test]
fn a_control_frame_may_stand_within_a_message() {
    let (events, error) = read(Origin::Server, b"\x01\x01a\x8a\x01p\x80\x01b", usize::MAX);
    assert_eq!(error, None);
    assert!(events.contains(&Event::Control(Control::Pong, Bytes::from_static(b"p"))));
    assert_eq!(events.last(), Some(&Event::FrameEnd { last: true }));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_the_cut_changes_nothing(bytes: Vec<u8>, client: bool, step in 1usize..20) {
        let origin = if client { Origin::Client } else { Origin::Server };
        prop_assert_eq!(read(origin, &bytes, step), read(origin, &bytes, usize::MAX));
    }

    #[test]
    fn what_is_written_is_read(
        payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..130),
            (65_530usize..65_540).prop_map(|length| vec![7; length]),
        ],
        masked: bool,
        step in 1usize..5000,
    ) {
        let mut wire = BytesMut::new();
        write(&mut wire, true, Opcode::Begin(Kind::Binary), &payload, masked.then_some(KEY));
        let origin = if masked { Origin::Client } else { Origin::Server };
        let (events, error) = read(origin, &wire, step);
        prop_assert_eq!(error, None);
        let mut expected = vec![Event::Begin(Kind::Binary)];
        if !payload.is_empty() {
            expected.push(Event::Payload(payload.into()));
        }
        expected.push(Event::FrameEnd { last: true });
        prop_assert_eq!(events, expected);
    }
}
