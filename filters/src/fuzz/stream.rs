//! Fuzzes the streams of engines, line by line, and the answers that the agent
//! changes: events, progress, `/version`.
//!
//! The bytes are the stream.

use super::is_json;
use crate::aggregate::{
    Bound, Event, LineSplitter, NodeTag, ProgressLine, announce, decorate, decorate_event,
    final_error, listed_containers, outcome_line, progress_line,
};
use crate::endpoint::ApiVersion;

/// Splits the stream into lines and processes each.
///
/// # Panics
/// If the lines depend on the pieces of the stream, or a result is not JSON, or
/// another event.
pub fn run(data: &[u8]) {
    let lines = LineSplitter::new().feed(data);
    let mut splitter = LineSplitter::new();
    let pieces: Vec<_> = data
        .chunks(3)
        .filter_map(|chunk| splitter.feed(chunk).ok())
        .flatten()
        .collect();
    assert_eq!(lines.as_ref(), Ok(&pieces), "lines depend on their pieces");

    let node = NodeTag {
        id: "n1".to_owned(),
        hostname: "web \"1\"".to_owned(),
        is_manager: true,
    };
    for line in &pieces {
        event(line, &node);
        if let ProgressLine::Pass(out) = progress_line(line, &node.hostname) {
            assert!(is_json(&out), "progress that is not JSON");
        }
        if let Ok(text) = std::str::from_utf8(line) {
            assert!(is_json(&outcome_line(text, Err(text))));
            assert!(is_json(&final_error(&[(text, text)])));
            let _ = Bound::new(text, "n1");
        }
    }
    answer(data, &node);
}

fn event(line: &[u8], node: &NodeTag) {
    let event = Event::parse(line);
    let Ok(out) = decorate_event(line, node) else {
        assert!(event.is_err(), "an event that cannot be passed on");
        return;
    };
    let json = out.strip_prefix(b"\x1e").unwrap_or(&out);
    assert!(is_json(json), "an event that is not JSON");
    assert!(json.ends_with(b"\n") && json.iter().filter(|b| **b == b'\n').count() == 1);
    if let Ok(event) = event {
        assert_eq!(Event::parse(&out).as_ref(), Ok(&event), "another event");
    }
}

fn answer(data: &[u8], node: &NodeTag) {
    let _ = listed_containers(data);
    if let Ok(out) = announce(data, ApiVersion::FLOOR, ApiVersion::new(1, 41)) {
        assert!(is_json(&out), "a version that is not JSON");
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(once) = decorate(text, node)
    {
        assert!(is_json(once.as_bytes()), "decorated, and no longer JSON");
        assert_eq!(
            decorate(&once, node).as_ref(),
            Ok(&once),
            "decorating again changed it"
        );
    }
}
