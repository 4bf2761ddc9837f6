//! The SSH server in the URL of a remote.

use super::Repository;

/// The port of SSH.
const SSH_PORT: u16 = 22;

/// The server of a remote that is reached over SSH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshServer {
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Repository {
    /// The server that a push to `origin` goes to, if that is over SSH.
    pub fn origin_server(&self) -> Option<SshServer> {
        let remote = self.inner.find_remote("origin").ok()?;
        let push_url = remote.pushurl().ok().flatten();
        SshServer::of_url(push_url.or_else(|| remote.url().ok())?)
    }
}

impl SshServer {
    /// Reads `ssh://[user@]host[:port]/path` and `[user@]host:path` (git-push(1), "GIT URLS").
    fn of_url(url: &str) -> Option<Self> {
        let schemes = ["ssh://", "git+ssh://", "ssh+git://"];
        if let Some(rest) = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)) {
            let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
            let (host, port) = split_port(without_user(authority))?;
            let port = port.map_or(Some(SSH_PORT), |port| port.parse().ok())?;
            return Self::named(host, port);
        }
        // A slash before the colon makes it a path, and `::` the name of a remote helper.
        let (authority, path) = match url.split_once("]:") {
            Some((before, path)) if before.contains('[') => (format!("{before}]"), path),
            _ => {
                let (before, path) = url.split_once(':')?;
                (before.to_owned(), path)
            }
        };
        if authority.contains('/') || path.starts_with("//") || path.starts_with(':') {
            return None;
        }
        let (host, _) = split_port(without_user(&authority))?;
        Self::named(host, SSH_PORT)
    }

    fn named(host: &str, port: u16) -> Option<Self> {
        let known = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        let fits = !host.is_empty() && !host.starts_with('-') && host.chars().all(known);
        fits.then(|| SshServer {
            host: host.to_owned(),
            port,
        })
    }
}

fn without_user(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// The host without the brackets of an IPv6 address, and what follows the colon after it.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return Some((host, after.strip_prefix(':')));
    }
    Some(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_read_from_the_urls_that_git_knows() {
        for (url, host, port) in [
            ("git@example.com:me/repo.git", "example.com", 22),
            ("example.com:repo", "example.com", 22),
            ("me@[::1]:repo", "::1", 22),
            ("ssh://git@example.com/me/repo.git", "example.com", 22),
            ("ssh://example.com:2222/repo", "example.com", 2222),
            ("git+ssh://me@[2001:db8::1]:2222/repo", "2001:db8::1", 2222),
        ] {
            let host = host.to_owned();
            assert_eq!(
                SshServer::of_url(url),
                Some(SshServer { host, port }),
                "{url}"
            );
        }
    }

    #[test]
    fn what_is_not_reached_over_ssh_has_none() {
        for url in [
            "https://example.com/repo",
            "/srv/a:b",
            "./a:b",
            "ext::sh -c x",
            "ssh://-oProxyCommand=x/repo",
            "-oProxyCommand=x:repo",
            "ssh://host:port/repo",
            "a b:repo",
            "repo",
            "",
        ] {
            assert_eq!(SshServer::of_url(url), None, "{url}");
        }
    }
}
