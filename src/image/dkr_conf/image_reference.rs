//! The grammar of image references, as `FROM` accepts them.
//!
//! Used for `base_image`, which is untrusted text that ends up in a Dockerfile. The grammar is
//! that of <https://pkg.go.dev/github.com/distribution/reference>:
//! `[DOMAIN[:PORT]/]PATH[:TAG][@DIGEST]`.

/// Longest name (domain and path) that registries accept.
const MAX_NAME: usize = 255;
/// Longest tag.
const MAX_TAG: usize = 128;

/// Whether `text` is an image reference and nothing more: no variable, flag or whitespace.
pub fn is_image_reference(text: &str) -> bool {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let after_slash = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[after_slash..].split_once(':') {
        Some((last, tag)) => (&rest[..after_slash + last.len()], Some(tag)),
        None => (rest, None),
    };
    name.len() <= MAX_NAME
        && is_name(name)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
        && !is_image_id(text)
}

fn is_name(name: &str) -> bool {
    let path = match name.split_once('/') {
        Some((first, path)) if names_a_registry(first) => {
            if !is_domain(first) {
                return false;
            }
            path
        }
        _ => name,
    };
    path.split('/').all(is_path_component)
}

/// Docker's rule for whether the part before the first `/` is a registry or part of the path.
fn names_a_registry(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.chars().any(|c| c.is_ascii_uppercase())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[').and_then(|d| d.split_once(']')) {
        Some((address, rest)) => {
            if !address.chars().all(|c| c.is_ascii_hexdigit() || c == ':') {
                return false;
            }
            (None, (!rest.is_empty()).then(|| rest.strip_prefix(':')))
        }
        None => match domain.split_once(':') {
            Some((host, port)) => (Some(host), Some(Some(port))),
            None => (Some(domain), None),
        },
    };
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let digits = |port: &str| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    host.is_none_or(|host| host.split('.').all(label))
        && port.is_none_or(|port| port.is_some_and(digits))
}

/// `[a-z0-9]+`, parts of it joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |separator: &str| {
        matches!(separator, "" | "." | "_" | "__") || separator.chars().all(|c| c == '-')
    };
    component.starts_with(is_alphanumeric)
        && component.ends_with(is_alphanumeric)
        && component.split(is_alphanumeric).all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= MAX_TAG
        && tag.starts_with(is_word)
        && tag.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
}

/// As `Digest.Validate` of go-digest: a known algorithm, with as many digits as it gives.
fn is_digest(digest: &str) -> bool {
    let digits = match digest.split_once(':') {
        Some(("sha256", hex)) if hex.len() == 64 => hex,
        Some(("sha384", hex)) if hex.len() == 96 => hex,
        Some(("sha512", hex)) if hex.len() == 128 => hex,
        _ => return false,
    };
    digits.chars().all(is_lower_hex)
}

/// 64 hex digits read as an image id, which `FROM` cannot name.
fn is_image_id(text: &str) -> bool {
    text.len() == 64 && text.chars().all(is_lower_hex)
}

fn is_lower_hex(c: char) -> bool {
    matches!(c, '0'..='9' | 'a'..='f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_docker_takes_are_taken() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for text in [
            "fedora:43",
            "ubuntu",
            "ubuntu:24.04",
            "library/ubuntu",
            "a__b/c-d/e---f.g:v1_2-3.4",
            "localhost/x",
            "localhost:5000/team/image:latest",
            "registry.example.com/a/b/c",
            "Registry.Example.com:443/a",
            "[2001:db8::1]:5000/a:b",
            "dkr:linux-main-a1b2c3",
            &format!("debian@{digest}"),
            &format!("r.example.com:80/debian:12@{digest}"),
        ] {
            assert!(is_image_reference(text), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            " ",
            "fedora:",
            ":43",
            "x\nRUN id",
            "x RUN",
            "--platform=linux/arm64",
            "--platform=linux/arm64 fedora",
            "$VAR",
            "${VAR}",
            "fedora:$TAG",
            "fedora AS x",
            "Fedora",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a:b:c",
            "a:b/c:d:e",
            "a.example.com:port/x",
            "-a.example.com/x",
            "a@sha256:12",
            "a@b@c",
            "a@",
            "a:-tag",
            "ü",
            "# syntax=evil/f",
            "# escape=`",
            "[::1/a",
            "[::1]x/a",
            &"a".repeat(64),
            &format!("a@sha256:{}", "a".repeat(63)),
            &format!("a@sha256:{}", "A".repeat(64)),
            &format!("a@md5:{}", "a".repeat(64)),
            &format!("a:{}", "b".repeat(129)),
            &format!("a/{}", "b".repeat(255)),
        ] {
            assert!(!is_image_reference(text), "{text}");
        }
    }
}
