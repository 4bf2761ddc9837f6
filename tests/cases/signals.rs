//! A signal that asks to end is never lost, whenever it comes.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::containers::{baked, state};
use super::start_image::start;
use crate::support::Sandbox;

/// Interrupts a command again and again, at moments from the start of the entrypoint on. With job
/// control a program in the background does not begin with SIGINT ignored.
const INSIDE: &str = r#"
    set -m
    lost= number=0
    while [ "$number" -lt 60 ]; do
        number=$((number + 1))
        began=$(date +%s)
        /usr/local/lib/dkr/entrypoint.sh sleep 4 2>/dev/null &
        sleep "$(printf '0.%03d' $((number * 2)))"
        kill -INT $!
        wait $!
        [ $(($(date +%s) - began)) -lt 3 ] || lost="$lost $number"
    done
    echo "lost:$lost""#;

#[test]
fn the_entrypoint_passes_on_what_comes_at_any_moment() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let image = t.image(&repo, "main");
    let ended = image.run_with(
        &["bash", "-c", INSIDE],
        serde_json::json!({"Entrypoint": []}),
    );
    assert_eq!(ended.stdout, "lost:\n", "{ended:?}");
}

#[test]
fn a_start_is_interrupted_at_any_moment_and_leaves_nothing() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("brief");
    let mut ran = 0;
    for number in 1..25 {
        let starting = start(&t, &repo, &["--name", &name], &["sleep", "30"]).spawn();
        std::thread::sleep(Duration::from_millis(40 * number));
        let began = Instant::now();
        starting.signal(if number % 2 == 0 {
            Signal::INT
        } else {
            Signal::TERM
        });
        let ended = starting.wait();
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{number}: {ended}"
        );
        // Before the start dkr itself was meant, afterwards the command.
        let expected = [Some(130), Some(143)].contains(&ended.code);
        // On a machine under load the program may not have begun after 40 ms.
        let not_begun = ended.code.is_none() && ended.stderr.is_empty();
        assert!(expected || not_begun, "{number}: {ended}");
        ran += usize::from(ended.stderr.contains("Working copy"));
        assert_eq!(state(&name), None, "{number}: {ended}");
    }
    assert!(ran > 0, "none came to run");
}
