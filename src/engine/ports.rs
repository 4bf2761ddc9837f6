//! Ports of a container published on the host, with the syntax of `docker run --publish` (pure).

use std::net::IpAddr;

use crate::error::{Error, Result};

/// One published port of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPort {
    /// The host's address; `None` for all of them.
    pub host_ip: Option<IpAddr>,
    /// The host's port, or a range to choose from (`8000-8009`); `None` for any free one.
    pub host_port: Option<String>,
    /// The port in the container.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl PublishedPort {
    /// The engine's name for the container's port, e.g. `80/tcp`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.container_port, self.protocol)
    }
}

/// Parses `[[IP:][HOST_PORT]:]CONTAINER_PORT[/PROTOCOL]`, where ports may be ranges of equal length.
///
/// # Errors
/// When `text` has another form.
pub fn parse_ports(text: &str) -> Result<Vec<PublishedPort>> {
    let refused = |why: &str| {
        Error::usage(format!("cannot publish port `{text}`"))
            .cause(why)
            .hint(
                "write ports as `8080:80`, `127.0.0.1:8080:80/tcp`, `80` or `8000-8009:8000-8009`",
            )
    };
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !["tcp", "udp", "sctp"].contains(&protocol) {
        return Err(refused("the protocol must be `tcp`, `udp` or `sctp`"));
    }
    let (host, container) = match ports.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, ports),
    };
    let (ip, host_port) = match host.and_then(|host| host.rsplit_once(':')) {
        Some((ip, port)) => (Some(ip), Some(port)),
        None => (None, host),
    };
    let host_ip = ip
        .map(|ip| {
            let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
            bare.unwrap_or(ip).parse()
        })
        .transpose()
        .map_err(|_| refused("the part before the ports is not an IP address"))?;
    let range = |text: &str| {
        parse_range(text).ok_or_else(|| refused("a port is a number from 1 to 65535, or a range"))
    };
    let container = range(container)?;
    // An empty host port means any port, but only after an address: `127.0.0.1::80`.
    let host = match host_port {
        None => None,
        Some("") if host_ip.is_some() => None,
        Some(port) => Some(range(port)?),
    };
    let count = container.1 - container.0;
    let host_port_at = |index: u16| {
        host.map(|(first, last)| match count {
            0 if first != last => format!("{first}-{last}"),
            _ => (first + index).to_string(),
        })
    };
    if count > 0 && host.is_some_and(|(first, last)| last - first != count) {
        return Err(refused("the two ranges have different lengths"));
    }
    let publish = |index| PublishedPort {
        host_ip,
        host_port: host_port_at(index),
        container_port: container.0 + index,
        protocol: protocol.to_owned(),
    };
    Ok((0..=count).map(publish).collect())
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (first, last) = (port(first)?, port(last)?);
    (first > 0 && first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Vec<(String, String, String)> {
        let ports = parse_ports(text).unwrap();
        let plain = |port: PublishedPort| {
            (
                port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
                port.host_port.clone().unwrap_or_default(),
                port.key(),
            )
        };
        ports.into_iter().map(plain).collect()
    }

    fn port(ip: &str, host: &str, key: &str) -> (String, String, String) {
        (ip.to_owned(), host.to_owned(), key.to_owned())
    }

    #[test]
    fn dockers_spellings_are_understood() {
        assert_eq!(parse("80"), [port("", "", "80/tcp")]);
        assert_eq!(parse("8080:80"), [port("", "8080", "80/tcp")]);
        assert_eq!(parse("53:53/udp"), [port("", "53", "53/udp")]);
        assert_eq!(
            parse("127.0.0.1:8080:80/tcp"),
            [port("127.0.0.1", "8080", "80/tcp")]
        );
        assert_eq!(parse("127.0.0.1::80"), [port("127.0.0.1", "", "80/tcp")]);
        assert_eq!(parse("[::1]:1:2"), [port("::1", "1", "2/tcp")]);
        assert_eq!(parse("8000-8009:80"), [port("", "8000-8009", "80/tcp")]);
        assert_eq!(
            parse("7000-7001:8000-8001"),
            [port("", "7000", "8000/tcp"), port("", "7001", "8001/tcp")]
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", ":", ":80", "0", "80:", "x:80", "65536", "+80", "80/icmp", "9-8", "1-3:1-2",
            "host:1:2", "1:2:3:4",
        ] {
            assert!(parse_ports(text).is_err(), "`{text}`");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-f:./\\[\\]-]{0,24}") {
            let _: Result<_> = parse_ports(&text);
        }
    }
}
