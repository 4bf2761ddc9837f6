//! How a build would reach the repository: the SSH key, server, host key and login, and which
//! transport follows from that.

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
        let found = "the repository is served through the build session, as `transport` says";
        return vec![Check::ok("transport", found)];
    }
    let needed = transport == TransportMode::Ssh;
    let status = if needed { Status::Fail } else { Status::Warn };
    let mut checks = Vec::new();
    match reach(flags, location, needed, status, &mut checks, cx).await {
        Some(account) => {
            let found = format!("the repository is reached over SSH, as `{account}`");
            checks.push(Check::ok("transport", found));
        }
        None if needed => {}
        None => {
            let found = "the repository is served through the build session, as SSH does not work";
            checks.push(Check::ok("transport", found));
        }
    }
    checks
}

/// Goes as far as it gets; the account if that is to the end.
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
    // Questions are asked only where a build would ask them.
    let ask = needed && cx.ui.terminal().can_ask();
    let _waiting = cx.ui.waiting("check the SSH server of the host");
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
        format!("{kind}, and no other is accepted in a build"),
    ));
    checks.push(match access.unusable().await {
        None => Check::ok("ssh login", format!("`{}` takes the key", access.account())),
        Some(reason) => Check::warn(
            "ssh login",
            format!("git may not work for `{}`: {reason}", access.account()),
            "the account needs a shell and git on its PATH",
        ),
    });
    Some(access.account().to_string())
}
