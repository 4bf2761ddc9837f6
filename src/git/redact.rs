//! Keeps passwords and tokens of URLs out of messages and labels.

/// `text` without the passwords and tokens of the URLs in it.
///
/// The user part of an `ssh` URL stays when no password follows it: it is a login name (`git@`),
/// and the URL is useless without it. In every other scheme it may be a token, and is removed.
pub fn without_credentials(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find("://") {
        let (before, after) = rest.split_at(found + 3);
        clean.push_str(before);
        let end = after
            .find(|c: char| c == '/' || c == '\'' || c == '"' || c == '`' || c.is_whitespace())
            .unwrap_or(after.len());
        let authority = &after[..end];
        let is_ssh = before.trim_end_matches("://").ends_with("ssh");
        let kept = match authority.rsplit_once('@') {
            Some((user, _)) if is_ssh && !user.contains(':') => authority,
            Some((_, host)) => host,
            None => authority,
        };
        clean.push_str(kept);
        rest = &after[end..];
    }
    clean.push_str(rest);
    clean
}

/// What may be published about the origin of a repository: `url` without credentials, query
/// and fragment; nothing if it names a place on this machine or a remote helper.
pub(super) fn publishable(url: &str) -> Option<String> {
    if let Some((scheme, _)) = url.split_once("://") {
        if scheme.eq_ignore_ascii_case("file") || scheme.contains("::") {
            return None;
        }
        let bare = url.split(['?', '#']).next().unwrap_or(url);
        return Some(without_credentials(bare));
    }
    // As git reads it: `host:path` is a URL unless a slash comes before the colon.
    let (host, path) = url.split_once(':')?;
    let is_scp_like = !host.is_empty() && !host.contains('/') && !path.starts_with(':');
    is_scp_like.then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_tokens_go_and_login_names_of_ssh_stay() {
        for (text, expected) in [
            ("https://u:p@h/x.git", "https://h/x.git"),
            ("https://token@h/x", "https://h/x"),
            ("https://u:p@ss@h/x@y", "https://h/x@y"),
            ("ssh://git@h:22/x", "ssh://git@h:22/x"),
            ("ssh://git:pw@h/x", "ssh://h/x"),
            ("fatal: 'https://a:b@h/': no", "fatal: 'https://h/': no"),
            ("a https://a:b@h b http://c@i", "a https://h b http://i"),
            ("user@example.com", "user@example.com"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(text), expected);
        }
    }

    #[test]
    fn only_what_others_can_reach_is_published() {
        for (url, expected) in [
            (
                "https://u:p@h/x.git?private_token=t#f",
                Some("https://h/x.git"),
            ),
            ("git@host:path/x.git", Some("git@host:path/x.git")),
            ("ssh://git@h/x", Some("ssh://git@h/x")),
            ("/srv/x.git", None),
            ("../x.git", None),
            ("./a:b", None),
            ("file:///srv/x.git", None),
            ("ext::sh -c x", None),
            ("ext::https://h/x", None),
        ] {
            assert_eq!(publishable(url).as_deref(), expected, "{url}");
        }
    }
}
