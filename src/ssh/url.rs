//! The URL under which a build or a container reaches the host's repository. Pure.

use std::fmt::Write as _;

/// `ssh://USER@HOST:PORT/PATH`, escaped as git decodes it.
///
/// git decodes the whole URL once and then treats a path that begins with `/~` as a home directory
/// (connect.c), even when the `~` was escaped; `/./~` is the same path and is not treated so.
pub fn ssh_url(user: &str, host: &str, port: u16, path: &str) -> String {
    let user = escaped(user).replace('/', "%2F");
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let home = if path.starts_with("/~") { "/." } else { "" };
    format!("ssh://{user}@{host}:{port}{home}{}", escaped(path))
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_escaped() {
        let url = ssh_url("me", "::1", 22, "/home/me/a b'c%$:x");
        assert_eq!(url, "ssh://me@[::1]:22/home/me/a%20b%27c%25%24%3Ax");
    }

    #[test]
    fn a_leading_tilde_is_no_home_directory() {
        let url = ssh_url("me", "localhost", 2222, "/~odd/repo");
        assert_eq!(url, "ssh://me@localhost:2222/./%7Eodd/repo");
    }

    #[test]
    fn a_user_cannot_change_the_host() {
        let url = ssh_url("me@evil/", "h", 22, "/r");
        assert_eq!(url, "ssh://me%40evil%2F@h:22/r");
    }
}
