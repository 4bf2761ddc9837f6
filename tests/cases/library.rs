//! dkr as a library.

use std::ffi::OsString;

/// Only what ends before a command begins: one listens to signals, which this process needs itself.
#[test]
fn it_is_called_without_a_process() {
    let run = |arguments: &[&str]| dkr::run(arguments.iter().map(OsString::from));
    assert_eq!(run(&["dkr", "--version"]), 0);
    assert_eq!(run(&["dkr", "no-such-command"]), 2);
    assert_eq!(run(&["dkr", "list-images", "--progress", "x"]), 2);
}
