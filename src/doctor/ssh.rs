//! How a build would reach the repository: the SSH key, server, host key and login, and the
//! transport that follows from them.

use super::{Check, Status};
use crate::app::Context;
use crate::bake::transport::TransportMode;
use crate::engine::Location;
use crate::error::Kind;
use crate::ssh::program;
use crate::ssh::settings::{SshFlags, SshSettings};

/// All checks, in the order in which a build would meet them.
pub async fn checks(
    flags: &SshFlags,
    transport: TransportMode,
    location: &Location,
    cx: &Context,
) -> Vec<Check> {
    if transport == TransportMode::Session {
        let found = "using the build session (set by `transport`)";
        return vec![Check::ok("transport", found)];
    }
    let needed = transport == TransportMode::Ssh;
    let status = if needed { Status::Fail } else { Status::Warn };
    let mut checks = Vec::new();
    match reach(flags, location, needed, status, &mut checks, cx).await {
        Some(account) => {
            let found = format!("using SSH as `{account}`");
            checks.push(Check::ok("transport", found));
        }
        None if needed => {}
        None => {
            let found = "using the build session (SSH does not work)";
            checks.push(Check::ok("transport", found));
        }
    }
    checks
}

/// Runs the SSH checks up to the first that fails; the account if all pass.
async fn reach(
    flags: &SshFlags,
    location: &Location,
    needed: bool,
    status: Status,
    checks: &mut Vec<Check>,
    cx: &Context,
) -> Option<String> {
    let mut ended = |name, error| {
        checks.push(Check::error(name, status, &error));
        None
    };
    let ssh = SshSettings::new(flags, &cx.env, location).await;
    let ssh = match ssh.and_then(|ssh| program::check(&cx.env).map(|()| ssh)) {
        Ok(ssh) => ssh,
        Err(error) => return ended("ssh key", error),
    };
    // Asks only where a build would ask.
    let ask = needed && cx.ui.terminal().can_ask();
    let _waiting = cx.ui.waiting("checking the SSH server of the host");
    let server = match ssh.server(&cx.env).await {
        Ok((server, None)) => server,
        Ok((_, Some(error))) => return ended("ssh server", error),
        Err(error) => return ended("ssh host key", error),
    };
    let access = match ssh.access(cx, ask).await {
        Ok(access) => access,
        Err(error) if error.kind == Kind::NotFound => return ended("ssh key", error),
        Err(error) => return ended("ssh login", error),
    };
    let lines = server.known_hosts.unwrap_or_default();
    let mut words = lines
        .split_whitespace()
        .filter(|word| !word.starts_with('@'));
    let kind = words.nth(1).unwrap_or_default();
    checks.push(Check::ok("ssh key", access.identity.to_string()));
    checks.push(Check::ok(
        "ssh server",
        format!("answers on `{}` port {}", server.host, access.port),
    ));
    checks.push(Check::ok(
        "ssh host key",
        format!("{kind}; builds accept no other key"),
    ));
    checks.push(match access.unusable().await {
        None => Check::ok(
            "ssh login",
            format!("`{}` accepts the key", access.account()),
        ),
        Some(reason) => Check::warn(
            "ssh login",
            format!("git might not work for `{}`: {reason}", access.account()),
            "the account needs a shell and git on its PATH",
        ),
    });
    Some(access.account().to_string())
}
