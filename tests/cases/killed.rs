//! dkr is killed after each request that it makes of the engine, before it hears the answer: nothing
//! is lost, and the next commands find and mend what was half done.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::containers::{baked, inside, state};
use super::start_image::start;
use crate::support::{Api, Invocation, Running, Sandbox, StallingEngine};

fn kill(running: &Running) {
    let pid = i32::try_from(running.pid()).ok().and_then(Pid::from_raw);
    // It may have ended just now.
    let _ = kill_process(pid.expect("a process has an id"), Signal::KILL);
}

/// Runs dkr again and again, killed after one more request each time, until it ends by itself. `check`
/// says what must be true after each kill; it gets the request. A process that dkr left behind goes on
/// asking its engine, so `engines` has to outlive the sandbox.
fn after_each_step(
    engines: &mut Vec<StallingEngine>,
    dkr: impl Fn() -> Invocation,
    mut check: impl FnMut(&str),
) -> usize {
    for step in 0.. {
        engines.push(StallingEngine::at(step));
        let engine = engines.last().expect("it was just pushed");
        let running =
            std::cell::RefCell::new(Some(dkr().env("DOCKER_HOST", engine.host()).spawn()));
        let ended = || {
            let mut running = running.borrow_mut();
            running.as_mut().is_none_or(Running::has_ended)
        };
        let stalled = engine.wait(ended);
        let running = running.take().expect("it was just started");
        let Some(request) = stalled else {
            let output = running.wait();
            engine.heal();
            assert_eq!(output.code, Some(0), "{output}");
            return step;
        };
        kill(&running);
        let ended = running.wait();
        // It was another process of dkr that asked, and this one did not wait for it.
        let is_whole = ended.code == Some(0);
        assert!(is_whole || ended.signal().is_some(), "{request}: {ended}");
        engine.heal();
        check(&request);
    }
    unreachable!("every command ends")
}

#[test]
fn a_start_that_is_killed_after_any_step_can_be_gone_on_with() {
    let mut engines = Vec::new();
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("half");
    let mut made = 0;
    let options = ["--name", &name, "--detach"];
    let dkr = || {
        start(
            &t,
            &repo,
            &options,
            &["sh", "-c", "echo x >work; sleep 1000"],
        )
    };
    let steps = after_each_step(&mut engines, dkr, |request| {
        if state(&name).is_none() {
            return;
        }
        made += 1;
        let listed = t.dkr(["ps", "-q", repo.path().to_str().unwrap()]).success();
        assert_eq!(listed.stdout.lines().count(), 1, "{request}");
        if state(&name).as_deref() != Some("running") {
            start(&t, &repo, &options, &[]).success();
        }
        let fetched = t.dkr(["exec", &name, "--", "git", "fetch", "host"]);
        fetched.success();
        t.dkr(["rm", "--force", &name]).success();
    });
    assert!(made >= 3, "{made} of {steps} steps");
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn a_bake_that_is_killed_after_any_step_is_made_good_by_the_next_command() {
    let mut engines = Vec::new();
    let t = Sandbox::new();
    let repo = baked(&t);
    let moving = t
        .image(&repo, "main")
        .tags()
        .into_iter()
        .min_by_key(String::len);
    let moving = moving.unwrap();
    let mut built = 0;
    let steps = after_each_step(
        &mut engines,
        || {
            t.dkr(["update-image", "--transport", "session", "--force"])
                .in_dir(&repo)
        },
        |request| {
            let before = t.branch_images(&repo).len();
            t.dkr(["ls", "--quiet"]).in_dir(&repo).success();
            let newest = t.image(&repo, "main");
            assert!(
                newest.tags().contains(&moving),
                "{request}: {:?}",
                newest.tags()
            );
            built = built.max(before);
            // Nor does the engine go on with what nobody waits for.
            let used = Api::of_machine().find(&format!("/images/{moving}/json"));
            assert_eq!(used.unwrap()["Id"], newest.id(), "{request}");
        },
    );
    assert!(built > 1, "none of {steps} steps was after a build");
}

#[test]
fn a_look_that_is_killed_after_any_step_leaves_a_container_at_rest_that_can_be_gone_on_with() {
    let mut engines = Vec::new();
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("looked");
    let path = repo.path().to_str().unwrap();
    // What it is wished to be when it ends does not count as long as nobody ends it.
    let start = ["start-image", path, "main", "--name", &name, "--detach"];
    let come_back = || t.dkr(start).success();
    t.dkr([&start[..], &["--rm"]].concat()).success();
    inside(&t, &name, "echo x >work");
    let end = || {
        let api = Api::of_machine();
        api.post(&format!("/containers/{name}/kill"), &Value::Null);
        api.post(&format!("/containers/{name}/wait"), &Value::Null);
    };
    end();
    let mut looked = 0;
    let steps = after_each_step(
        &mut engines,
        || t.dkr(["diff", &name]),
        |request| {
            looked += 1;
            t.dkr(["ps"]).success();
            assert_eq!(state(&name).as_deref(), Some("exited"), "{request}");
            come_back();
            inside(&t, &name, "tmux has-session -t main && cat work");
            end();
        },
    );
    assert!(looked > 5, "{looked} of {steps} steps");
    t.dkr(["rm", "--force", &name]).success();
}
