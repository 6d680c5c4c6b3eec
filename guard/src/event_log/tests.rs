use super::*;
use contract::{Decision, Guard, SCHEMA_VERSION};
use parking_lot::Mutex;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn event(log: &EventLog) -> AccessEvent {
    AccessEvent {
        schema_version: SCHEMA_VERSION,
        event_id: log.next_id(),
        time: Timestamp::from_millis(0),
        guard: Guard::Egress,
        decision: Decision::Allowed,
        reason: None,
        rule: None,
        way_in: "connect".to_owned(),
        method: None,
        host: None,
        path: None,
        status: None,
        request_bytes: 0,
        response_bytes: 0,
        microseconds: 0,
        generation: 1,
        grant_id: None,
        proposal_id: None,
        git: None,
        lost_before: 0,
    }
}

#[tokio::test]
async fn every_event_is_one_line_and_no_identifier_comes_twice() {
    let kept = Kept::default();
    let (log, writer) = EventLog::to(kept.clone(), CancellationToken::new()).unwrap();
    for _ in 0..100 {
        let place = log.reserve().await.unwrap();
        log.write(place, event(&log));
    }
    drop(log);
    writer.finish(Duration::from_secs(60)).await;
    let text = String::from_utf8(kept.0.lock().clone()).unwrap();
    let ids: std::collections::BTreeSet<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<AccessEvent>(line)
                .unwrap()
                .event_id
                .to_string()
        })
        .collect();
    assert_eq!(ids.len(), 100);
    assert!(ids.iter().is_sorted());
}

#[tokio::test(start_paused = true)]
async fn without_a_place_a_request_waits_and_is_then_not_admitted() {
    let (log, _writer) = EventLog::to(Kept::default(), CancellationToken::new()).unwrap();
    let mut places: Vec<Place> = Vec::new();
    for _ in 0..PLACES {
        places.push(log.reserve().await.unwrap());
    }
    assert!(log.reserve().await.is_none());
    places.pop();
    assert!(log.reserve().await.is_some());
}

#[tokio::test]
async fn what_is_lost_is_counted_in_the_next_event() {
    let kept = Kept::default();
    let (log, writer) = EventLog::to(kept.clone(), CancellationToken::new()).unwrap();
    let mut places = Vec::new();
    for _ in 0..PLACES {
        places.push(log.reserve().await.unwrap());
    }
    log.write_or_count(event(&log));
    log.write_or_count(event(&log));
    log.write(places.pop().unwrap(), event(&log));
    log.write(places.pop().unwrap(), event(&log));
    drop(log);
    writer.finish(Duration::from_secs(60)).await;
    let text = String::from_utf8(kept.0.lock().clone()).unwrap();
    let lost: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<AccessEvent>(line).unwrap().lost_before)
        .collect();
    assert_eq!(lost, [2, 0]);
}

#[tokio::test]
async fn a_reader_that_is_gone_stops_the_guard() {
    let gone = CancellationToken::new();
    let (log, _writer) = EventLog::to(Broken, gone.clone()).unwrap();
    log.write(log.reserve().await.unwrap(), event(&log));
    gone.cancelled().await;
    assert!(
        log.reserve().await.is_none(),
        "what cannot be logged is not admitted"
    );
}
