//! How a build would reach the repository: the SSH key, server, host key and login, and which
//! transport follows from that.

use super::{Check, Status};
use crate::bake::Context;
use crate::bake::access::TransportMode;
use crate::bake::ssh::{SshFlags, SshSettings};
use crate::engine::Location;

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
    let ssh = match SshSettings::new(flags, &cx.env) {
        Ok(ssh) => ssh,
        Err(error) => return ended("ssh key", error),
    };
    let _waiting = cx.ui.waiting("check the SSH server of the host");
    let mounted = match ssh.mounted(location, &cx.env).await {
        Ok((mounted, None)) => mounted,
        Ok((_, Some(error))) => return ended("ssh server", error),
        Err(error) => return ended("ssh host key", error),
    };
    // Questions are asked only where a build would ask them.
    let access = match ssh
        .access(location, cx, needed && cx.ui.terminal().can_ask())
        .await
    {
        Ok(access) => access,
        Err(error) => return ended("ssh login", error),
    };
    let key = mounted.key.display();
    let line = mounted.known_hosts.unwrap_or_default();
    let kind = line.split(' ').nth(1).unwrap_or_default();
    checks.push(Check::ok("ssh key", format!("`{key}`")));
    checks.push(Check::ok(
        "ssh server",
        format!("answers on `{}` port {}", mounted.host, mounted.port),
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
