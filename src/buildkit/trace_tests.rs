//! The trace decoder on recorded and on broken streams.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{
    StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning,
};
use proptest::prelude::*;
use prost::Message;

use super::event::{Event, StepId, Stream};
use super::trace::{BuildResult, Failed, ImageId, TAIL, Trace};

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn vertex(digest: &str, started: Option<i64>, completed: Option<i64>, error: &str) -> Vertex {
    Vertex {
        digest: digest.to_owned(),
        name: format!("[1/2] RUN\u{1b}[31m {digest}"),
        started: started.and_then(at),
        completed: completed.and_then(at),
        error: error.to_owned(),
        ..Vertex::default()
    }
}

fn log(digest: &str, stream: i64, text: &[u8]) -> VertexLog {
    VertexLog {
        vertex: digest.to_owned(),
        stream,
        msg: text.to_vec(),
        ..VertexLog::default()
    }
}

fn trace(status: &StatusResponse) -> String {
    let aux = BASE64.encode(status.encode_to_vec());
    serde_json::json!({"id": "moby.buildkit.trace", "aux": aux}).to_string() + "\r\n"
}

fn decode(pieces: &[&[u8]]) -> (Vec<Event>, BuildResult) {
    let mut trace = Trace::default();
    let mut events = Vec::new();
    for piece in pieces {
        trace.push(piece, &mut events);
    }
    let outcome = trace.finish(&mut events);
    (events, outcome)
}

/// A build of two steps as an engine would tell it, with lines cut in the middle.
fn recorded() -> String {
    let mut begin = StatusResponse {
        vertexes: vec![vertex("a", None, None, ""), vertex("b", None, None, "")],
        ..StatusResponse::default()
    };
    let mut stream = trace(&begin);
    begin.vertexes = vec![vertex("a", Some(1), None, "")];
    begin.logs = vec![
        log("a", 2, b"Receiving: 10%\rRecei"),
        log("a", 1, b"out \xc3"),
    ];
    begin.statuses = vec![VertexStatus {
        id: "sha256:1".to_owned(),
        vertex: "a".to_owned(),
        current: 5,
        total: 10,
        ..VertexStatus::default()
    }];
    stream += &trace(&begin);
    begin.logs = vec![
        log("a", 2, b"ving: 20%, done.\n"),
        log("a", 1, b"\xbc"),
        log("?", 1, b"x\n"),
    ];
    begin.vertexes = vec![
        vertex("a", Some(1), Some(4), ""),
        vertex("b", Some(4), None, ""),
    ];
    begin.warnings = vec![VertexWarning {
        short: b"old syntax".to_vec(),
        ..VertexWarning::default()
    }];
    stream += &trace(&begin);
    stream += "{\"id\":\"moby.buildkit.trace\",\"aux\":\"!!!\"}\n{\"id\":\"new.thing\",\"aux\":{\"a\":[1]}}\n";
    stream += "{\"id\":\"moby.buildkit.trace\",\"aux\":\"CgIKAA\"}\n{\"stream\":\"x\"} {\"id\":\"moby.buildkit.trace\"}";
    begin.vertexes = vec![
        vertex("a", Some(1), Some(4), ""),
        vertex("b", Some(4), Some(4), ""),
    ];
    begin.vertexes[1].cached = true;
    begin.logs.clear();
    stream += &trace(&begin);
    stream + "{\"id\":\"moby.image.id\",\"aux\":{\"ID\":\"sha256:12\"}}\n"
}

#[test]
fn a_build_is_told_once_and_in_whole_lines() {
    let (events, outcome) = decode(&[recorded().as_bytes()]);
    let (a, b) = (StepId(0), StepId(1));
    let line = |stream, line: &str, transient| Event::Log {
        step: a,
        stream,
        line: line.to_owned(),
        transient,
    };
    let name = |digest: &str| format!("[1/2] RUN {digest}");
    let expected = [
        Event::Started {
            step: a,
            name: name("a"),
        },
        Event::Counter {
            step: a,
            name: "sha256:1".to_owned(),
            current: 5,
            total: 10,
            done: false,
        },
        line(Stream::Stderr, "Receiving: 10%", true),
        line(Stream::Stderr, "Receiving: 20%, done.", false),
        line(Stream::Stdout, "out ü", false),
        Event::Finished {
            step: a,
            name: name("a"),
            cached: false,
            error: None,
            took: Some(Duration::from_secs(3)),
        },
        Event::Started {
            step: b,
            name: name("b"),
        },
        Event::Warning {
            text: "old syntax".to_owned(),
        },
        Event::Finished {
            step: b,
            name: name("b"),
            cached: true,
            error: None,
            took: Some(Duration::ZERO),
        },
    ];
    assert_eq!(events, expected);
    assert_eq!(outcome, BuildResult::Built(ImageId("sha256:12".to_owned())));
}

#[test]
fn a_failure_names_its_step_and_keeps_its_last_lines() {
    let lines: String = (0..50).map(|n| format!("line {n}\n")).collect();
    let status = StatusResponse {
        vertexes: vec![
            vertex("c", Some(1), Some(2), "context canceled"),
            vertex("f", Some(1), Some(2), "exit code: 3"),
        ],
        logs: vec![log("f", 1, lines.as_bytes()), log("f", 2, b"last\rwords")],
        ..StatusResponse::default()
    };
    let stream =
        trace(&status) + "{\"errorDetail\":{\"message\":\"failed: exit code: 3\"},\"error\":\"e\"}";
    let (_, outcome) = decode(&[stream.as_bytes()]);
    let BuildResult::Failed(Failed { message, step, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    let step = step.unwrap();
    assert_eq!(
        (message.as_str(), step.name.as_str()),
        ("failed: exit code: 3", "[1/2] RUN f")
    );
    assert_eq!(step.tail.len(), TAIL);
    assert_eq!(
        (step.tail[0].as_str(), step.tail[TAIL - 1].as_str()),
        ("line 21", "words")
    );
}

#[test]
fn a_step_that_fails_when_taken_up_again_is_the_failed_one() {
    let mut status = StatusResponse {
        vertexes: vec![vertex("f", Some(1), Some(2), "")],
        ..StatusResponse::default()
    };
    let mut stream = trace(&status);
    status.vertexes = vec![vertex("f", Some(3), Some(4), "boom")];
    stream += &(trace(&status) + "{\"error\":\"boom\"}");
    let (events, outcome) = decode(&[stream.as_bytes()]);
    assert_eq!(events.len(), 2);
    assert!(matches!(
        outcome,
        BuildResult::Failed(Failed { step: Some(_), .. })
    ));
}

#[test]
fn an_error_counts_more_than_an_image_and_neither_is_unknown() {
    let image = "{\"id\":\"moby.image.id\",\"aux\":{\"ID\":\"sha256:1\"}}";
    assert!(matches!(
        decode(&[image.as_bytes()]).1,
        BuildResult::Built(_)
    ));
    let both = format!("{image}\n{{\"error\":\"x\"}}");
    assert!(matches!(
        decode(&[both.as_bytes()]).1,
        BuildResult::Failed(_)
    ));
    for stream in [
        "",
        "{}",
        "{\"id\":\"moby.image.id\",\"aux\":{\"ID\":\"\"}}",
        "{\"id\":\"moby.image.id\"}",
    ] {
        assert_eq!(
            decode(&[stream.as_bytes()]).1,
            BuildResult::Unknown,
            "{stream}"
        );
    }
}

#[test]
fn what_is_no_object_hides_only_the_rest_of_its_line() {
    let object = |id: &str| format!("{{\"id\":\"moby.image.id\",\"aux\":{{\"ID\":\"{id}\"}}}}");
    let (first, second) = (object("sha256:1"), object("sha256:2"));
    for (stream, expected) in [
        (format!("{first}{second}"), "sha256:2"),
        (format!("garbage ] {{\r\n{first}\n"), "sha256:1"),
        (format!("{first} garbage {second}"), "sha256:1"),
        (
            format!("{{\"id\":\"mob\r\n{second}\n[1]\nnull\n7"),
            "sha256:2",
        ),
    ] {
        let image = ImageId(expected.to_owned());
        let outcome = decode(&[stream.as_bytes()]).1;
        assert_eq!(outcome, BuildResult::Built(image), "{stream}");
    }
}

proptest! {
    #[test]
    fn a_split_anywhere_gives_the_same_events(cuts: [prop::sample::Index; 4]) {
        let stream = recorded();
        let bytes = stream.as_bytes();
        let mut cuts = cuts.map(|cut| cut.index(bytes.len() + 1));
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        prop_assert_eq!(decode(&pieces), decode(&[bytes]));
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>, aux: Vec<u8>, at: prop::sample::Index) {
        decode(&[&bytes]);
        let aux = serde_json::json!({"id": "moby.buildkit.trace", "aux": BASE64.encode(aux)});
        decode(&[aux.to_string().as_bytes()]);
        let mut stream = recorded().into_bytes();
        let at = at.index(stream.len());
        stream.splice(at..at, bytes);
        decode(&[&stream]);
    }
}
