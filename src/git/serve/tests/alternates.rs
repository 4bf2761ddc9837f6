//! A repository that keeps its objects in another one: nothing of that one is revealed.

use super::*;

const KINDS: [&[&str]; 2] = [&["--shared"], &["--reference", "other"]];

#[tokio::test(flavor = "multi_thread")]
async fn no_id_of_an_alternate_is_told() {
    for options in KINDS {
        let t = Sandbox::on_alternate(30, options);
        t.clone_host(&t.path("run"));
        t.serve(upload_pack(&t));
        t.serve(receive_pack(&t, MAX_PUSH_BYTES));
        let foreign = t.foreign_ids();
        assert!(foreign.len() > 10, "{foreign:?}");
        let hello = hello(receive_pack(&t, MAX_PUSH_BYTES), &t).await;
        assert!(hello.contains("report-status"), "{hello}");
        t.commit("work");
        let trace = t.path("trace");
        t.ok(&[
            "config",
            "alias.traced",
            &format!("!GIT_TRACE_PACKET={} git", trace.display()),
        ]);
        for traced in [
            &["push", "-n", "host", "HEAD:refs/heads/box/a"][..],
            &["push", "host", "HEAD:refs/heads/box/a"],
            &["fetch", "host"],
            &["ls-remote", "host"],
        ] {
            t.ok(&[&["traced"], traced].concat());
        }
        let trace = fs::read_to_string(trace).unwrap();
        assert!(
            trace.contains("box/a") && trace.contains("ls-refs"),
            "{trace}"
        );
        for id in foreign {
            assert!(
                !hello.contains(&id) && !trace.contains(&id),
                "{options:?}: {id}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_a_repository_with_alternates_moves_kilobytes() {
    for options in KINDS {
        let t = Sandbox::on_alternate(3000, options);
        t.clone_host(&t.path("run"));
        let fetched = t.serve(upload_pack(&t));
        let pushed = t.serve(receive_pack(&t, MAX_PUSH_BYTES));
        t.commit("work");
        t.ok(&["push", "-q", "host", "HEAD:refs/heads/box/a"]);
        let moved = (fetched.bytes(1).await, pushed.bytes(1).await);
        assert!(moved.0 + moved.1 < 20_000, "{moved:?}");
    }
}

/// What a service sends before any request.
pub(super) async fn hello(service: Service, t: &Sandbox) -> String {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    far.write_all(b"0000").await.unwrap();
    far.shutdown().await.unwrap();
    let (env, limits) = (t.env(), ServiceLimits::default());
    let answer = service.answer(near, &env, &limits, std::future::pending());
    let mut said = Vec::new();
    let (traffic, _) = tokio::join!(answer, far.read_to_end(&mut said));
    assert_eq!(traffic.unwrap().outcome, ServiceEnd::Finished);
    String::from_utf8_lossy(&said).into_owned()
}
