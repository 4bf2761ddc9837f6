//! Command lines that dkr refuses before it asks an engine.

use super::Transcript;
use crate::cases::create_image::two_commits;
use crate::support::Sandbox;

#[test]
fn unknown_missing_and_contradicting_words() {
    let t = Sandbox::new();
    let mut transcript = Transcript::new(&t);
    for arguments in [
        &["create-imag"][..],
        &["frobnicate"],
        &["list-images", "--jsn"],
        &["list-images", "--json", "--quiet"],
        &["list-images", "--stale", "--quiet"],
        &["list-containers", "--json", "--quiet"],
        &["start-image", "--rm", "--keep", "auto", "--", "true"],
        &["create-image", ".", "main", "more"],
        &["create-image", "--ssh-port", "0"],
        &["create-image", "--ssh-port", "many"],
        &["create-image", "--ssh-key"],
        &["start-image", "--max-behind", "-1", "--", "true"],
        &["prune", "--older-than", "1x"],
        &["prune", "--keep", "few"],
        &["stop"],
        &["stop", "--time", "soon", "x"],
        &["remove-container"],
        &["remove-image"],
        &["exec", "x"],
        &["attach"],
        &["take"],
        &["diff"],
        &["completions"],
        &["completions", "basch"],
    ] {
        transcript.run(transcript.dkr(arguments));
    }
    transcript.check("usage");
}

#[test]
fn flags_with_values_that_they_do_not_take() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let mut transcript = Transcript::new(&t);
    for arguments in [
        &["create-image", "--progress", "loud"][..],
        &["create-image", "--transport", "pigeon"],
        &["create-image", "--clone", "half"],
        &["create-image", "--build-network", "container:x"],
        &["create-image", "--dry-run", "--ssh-host", "-x"],
        &["create-image", "--transport", "session", "--ssh-key", "key"],
        &["update-image", "--drift", "perhaps"],
        &["start-image", "--stale", "perhaps", "--", "true"],
        &["start-image", "--keep", "sometimes", "--", "true"],
        &["start-image", "--network", "container:x", "--", "true"],
        &["start-image", "--transport", "pigeon", "--", "true"],
        &["start-image", "--cpus", "many", "--", "true"],
        &["start-image", "--memory", "5m", "--", "true"],
        &["start-image", "--pids-limit", "many", "--", "true"],
        &["start-image", "--gpus", "device=", "--", "true"],
        &["start-image", "-e", "=x", "--", "true"],
        &["start-image", "-p", "http", "--", "true"],
        &["start-image", "-p", "1:2:3:4", "--", "true"],
        &["start-image", "-v", "data", "--", "true"],
        &["start-image", "-v", "./data:/data", "--", "true"],
        &["start-image", "-v", "a:/data", "--", "true"],
        &["start-image", "-v", "data:/", "--", "true"],
        &["start-image", "-v", "data:/run/dkr", "--", "true"],
        &["start-image", "-v", "data:/workspace", "--", "true"],
        &["start-image", "-v", "data:/data:rx", "--", "true"],
        &["start-image", "-v", "data:/data:ro,rw", "--", "true"],
        &[
            "start-image",
            "--anthropic-key",
            "/nonexistent",
            "--",
            "true",
        ],
        &["start-image"],
    ] {
        transcript.run(transcript.dkr(arguments).in_dir(&repo));
    }
    transcript.check("usage-values");
}
