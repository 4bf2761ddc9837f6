//! The request's query, and how a build is followed.

use super::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn the_query_carries_everything_byte_for_byte() {
    let request = BuildRequest {
        tags: vec!["dkr:a".to_owned(), "dkr:b".to_owned()],
        labels: map(&[("dkr.ref", "a b+c%&=#\"ü\n")]),
        build_args: map(&[("BRANCH", "a$(id)`'&x=1")]),
        network: Some("host".to_owned()),
        no_cache: true,
        uncompressed: true,
        ..BuildRequest::default()
    };
    let target = request.target("s", "b").unwrap();
    assert!(target.starts_with("/build?version=2&session=s&"));
    let uri: hyper::Uri = target.parse().unwrap();
    assert_eq!(uri.path(), "/build");
    let query = form_urlencoded::parse(uri.query().unwrap().as_bytes());
    let pairs: Vec<(String, String)> = query.into_owned().collect();
    let expected = [
        ("version", "2"),
        ("session", "s"),
        ("buildid", "b"),
        ("networkmode", "host"),
        ("labels", r##"{"dkr.ref":"a b+c%&=#\"ü\n"}"##),
        ("buildargs", r#"{"BRANCH":"a$(id)`'&x=1"}"#),
        ("t", "dkr:a"),
        ("t", "dkr:b"),
        ("nocache", "1"),
        (
            "outputs",
            r#"[{"Type":"moby","Attrs":{"compression":"uncompressed"}}]"#,
        ),
    ];
    assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn a_build_argument_that_changes_the_frontend_is_refused() {
    for name in ["BUILDKIT_SYNTAX", "buildkit_syntax"] {
        let request = BuildRequest {
            build_args: map(&[(name, "evil/f")]),
            ..BuildRequest::default()
        };
        assert!(request.target("s", "b").unwrap_err().message.contains(name));
    }
}

#[test]
fn the_gate_is_open_while_its_step_runs_and_only_then() {
    let gate = Arc::new(Gate::new());
    let mut keeper = GateKeeper::new(Some(GateMarker {
        marker: "clone.sh".to_owned(),
        gate: gate.clone(),
    }));
    let started = |step, name: &str| Event::Started {
        step: StepId(step),
        name: name.to_owned(),
    };
    let finished = |step| Event::Finished {
        step: StepId(step),
        name: String::new(),
        cached: false,
        error: None,
        took: None,
    };
    keeper.see(&started(0, "[1/3] RUN make"));
    keeper.see(&finished(0));
    assert!(!gate.is_open());
    keeper.see(&started(1, "[2/3] RUN sh /dkr/clone.sh"));
    assert!(gate.is_open());
    keeper.see(&finished(2));
    assert!(gate.is_open());
    keeper.see(&finished(1));
    keeper.see(&started(3, "[3/3] RUN echo clone.sh"));
    assert!(!gate.is_open());
}
