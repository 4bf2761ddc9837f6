//! What a client may request from `upload-pack`, and what is never revealed.

use super::*;

/// The host's answer to a single request.
async fn answer(t: &Sandbox, command: &str, arguments: &[String]) -> (ServiceEnd, String) {
    let line = |text: &str| format!("{:04x}{text}\n", text.len() + 5);
    let arguments: String = arguments.iter().map(|text| line(text)).collect();
    let key = line(&format!("command={command}"));
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let request = format!("{key}0001{arguments}0000");
    far.write_all(request.as_bytes()).await.unwrap();
    far.shutdown().await.unwrap();
    let (service, env, limits) = (upload_pack(t), t.env(), ServiceLimits::default());
    let serving = service.answer(near, &env, &limits, std::future::pending());
    let mut said = Vec::new();
    let (traffic, _) = tokio::join!(serving, far.read_to_end(&mut said));
    let said = String::from_utf8_lossy(&said).into_owned();
    (traffic.unwrap().outcome, said)
}

/// Every setting by which a repository can allow its clients more.
fn allow_all(t: &Sandbox) {
    for (key, value) in [
        ("uploadpack.allowFilter", "true"),
        ("uploadpackfilter.allow", "true"),
        ("uploadpack.allowRefInWant", "true"),
        ("uploadpack.allowAnySHA1InWant", "true"),
        ("uploadpack.advertiseBundleURIs", "true"),
        ("bundle.version", "1"),
        ("bundle.mode", "any"),
        ("bundle.x.uri", "https://user:secret@example.org/x"),
        ("transfer.advertiseObjectInfo", "true"),
        ("transfer.advertiseSID", "true"),
        ("promisor.advertise", "true"),
        ("remote.space.promisor", "true"),
        ("remote.space.url", "https://user:secret@example.org/y"),
    ] {
        t.host(&["config", key, value]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tells_of_hidden_refs_is_refused_by_name_whatever_the_host_allows() {
    let t = Sandbox::new(3);
    allow_all(&t);
    let hello = super::alternates::hello(upload_pack(&t), &t).await;
    assert!(hello.contains("fetch=shallow"), "{hello}");
    for feature in [
        "filter",
        "ref-in-want",
        "bundle-uri",
        "session-id",
        "secret",
    ] {
        assert!(!hello.contains(feature), "{feature}: {hello}");
    }
    let want = format!("want {}", t.host(&["rev-parse", "main"]));
    let stash = t.host(&["rev-parse", "refs/stash"]);
    for (command, argument) in [
        ("fetch", "deepen-not refs/stash"),
        ("fetch", "filter sparse:oid=refs/stash:f0"),
        ("fetch", "want-ref refs/stash"),
        ("fetch", "packfile-uris https"),
        ("object-info", "size"),
        ("bundle-uri", ""),
    ] {
        let arguments = [&want, argument, "done"].map(str::to_owned);
        let (outcome, said) = answer(&t, command, &arguments).await;
        let name = match command {
            "fetch" => argument.split(' ').next().unwrap(),
            command => command,
        };
        let message = format!("dkr: fetch refused: the host does not offer `{name}`");
        assert!(said.contains(&format!("ERR {message}\n")), "{name}: {said}");
        assert!(!said.contains("PACK") && !said.contains(&stash), "{said}");
        assert_eq!(outcome, ServiceEnd::Refused(message));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_fetching_works() {
    let t = served(20);
    allow_all(&t);
    t.host(&["tag", "-a", "-m", "v2", "v2"]);
    t.ok(&["config", "--global", "protocol.ext.allow", "always"]);
    let url = t.ok(&["config", "remote.host.url"]);
    let clone = |options: &[&str]| {
        fs::remove_dir_all(t.path("clone/other")).unwrap_or_default();
        t.ok(&[&["clone", "-q"], options, &[&url, "other"]].concat());
    };
    let other = |arguments: &[&str]| t.ok(&[&["-C", "other"], arguments].concat());
    let count = || other(&["rev-list", "--count", "HEAD"]);
    let all = t.host(&["rev-list", "--count", "main"]);

    clone(&["--mirror"]);
    assert_eq!(count(), all);
    clone(&["--filter=blob:none"]);
    assert_eq!(
        other(&["rev-parse", "v2^{}"]),
        t.host(&["rev-parse", "main"])
    );
    other(&["fsck"]);

    clone(&["--depth=3"]);
    assert_eq!(count(), "3");
    other(&["fetch", "-q", "--deepen=2"]);
    assert_eq!(count(), "5");
    other(&["fetch", "-q", "--unshallow"]);
    assert_eq!(count(), all);
    clone(&["--shallow-since=1700000015 +0000"]);
    assert_eq!(count(), "5");
    other(&["fetch", "-q", "--depth=2"]);
    assert_eq!(count(), "2");
    let first = t.host(&["rev-list", "--max-parents=0", "main"]);
    other(&["fetch", "-q", "origin", &first]);

    let heads = t.ok(&["ls-remote", "--symref", "--heads", "host", "ma*"]);
    assert!(heads.contains("refs/heads/main"), "{heads}");
    t.ok(&[
        "fetch",
        "-q",
        "--server-option=x",
        "--tags",
        "--prune",
        "host",
    ]);
    let error = t.fails(&["fetch", "--shallow-exclude=v1", "host"]);
    assert!(
        error.contains("the host does not offer `deepen-not`"),
        "{error}"
    );
}
