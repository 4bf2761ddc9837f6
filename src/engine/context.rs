//! Which engine the user named, resolved as Docker's own client does.
//!
//! Only `connect` calls it. There is no fallback: a name that cannot be resolved is an error.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::endpoint::{Endpoint, Tls};
use crate::env::Env;
use crate::error::{Error, Result, suggestion};

/// The name of the context that stands for `DOCKER_HOST` or the default socket.
const DEFAULT_CONTEXT: &str = "default";

/// The address of an engine, and where it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedEndpoint {
    /// Where the engine is.
    pub endpoint: Endpoint,
    /// Where it was named.
    pub origin: EndpointSource,
}

/// Where an engine was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointSource {
    /// The variable `DOCKER_HOST`.
    Variable,
    /// A context, chosen by `DOCKER_CONTEXT` or in Docker's configuration file.
    Context(String),
    /// Nowhere: the default socket.
    Default,
}

impl fmt::Display for EndpointSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointSource::Variable => write!(f, "named by `DOCKER_HOST`"),
            EndpointSource::Context(name) => write!(f, "context `{name}`"),
            EndpointSource::Default => write!(f, "the default socket"),
        }
    }
}

/// The engine that the environment names: `DOCKER_HOST`, else the context `DOCKER_CONTEXT`, else
/// the current context in Docker's configuration file, else the default socket.
///
/// # Errors
/// When the context does not exist or cannot be read, or the address is not supported.
pub fn named_engine(env: &Env) -> Result<NamedEndpoint> {
    let folder = config_folder(env);
    if let Some(address) = text(env, "DOCKER_HOST")? {
        let tls = tls_of_variables(env, folder.as_deref());
        return Ok(NamedEndpoint {
            endpoint: Endpoint::parse(&address, tls)?,
            origin: EndpointSource::Variable,
        });
    }
    let chosen = match (text(env, "DOCKER_CONTEXT")?, &folder) {
        (Some(name), _) => Some(name),
        (None, Some(folder)) => current_context(&folder.join("config.json"))?,
        (None, None) => None,
    };
    match chosen.filter(|name| name != DEFAULT_CONTEXT) {
        Some(name) => Ok(NamedEndpoint {
            endpoint: endpoint_of_context(&name, folder.as_deref())?,
            origin: EndpointSource::Context(name),
        }),
        None => Ok(NamedEndpoint {
            endpoint: Endpoint::default_socket(),
            origin: EndpointSource::Default,
        }),
    }
}

/// The value of a variable that names an engine. One that is not UTF-8 must not count as unset.
fn text(env: &Env, name: &str) -> Result<Option<String>> {
    let Some(value) = env.path(name) else {
        return Ok(None);
    };
    match value.into_os_string().into_string() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Error::usage(format!("the value of `{name}` is not UTF-8"))),
    }
}

fn config_folder(env: &Env) -> Option<PathBuf> {
    env.path("DOCKER_CONFIG")
        .or_else(|| env.home().map(|home| home.join(".docker")))
}

/// `DOCKER_TLS_VERIFY`, `DOCKER_TLS` and `DOCKER_CERT_PATH` (docker/cli `cli/flags/options.go`).
fn tls_of_variables(env: &Env, config: Option<&Path>) -> Option<Tls> {
    let verify = env.path("DOCKER_TLS_VERIFY").is_some();
    if !verify && env.path("DOCKER_TLS").is_none() {
        return None;
    }
    let folder = env
        .path("DOCKER_CERT_PATH")
        .or_else(|| config.map(Path::to_owned))
        .unwrap_or_default();
    Some(Tls {
        ca: Some(folder.join("ca.pem")),
        identity: identity_in(&folder),
        skip_verify: !verify,
    })
}

/// The client's certificate and key in a folder; if one is missing, reading it fails later.
fn identity_in(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    (cert.exists() || key.exists()).then_some((cert, key))
}

/// The part of Docker's `config.json` with the current context.
#[derive(Deserialize)]
struct ClientConfig {
    #[serde(rename = "currentContext")]
    current_context: Option<String>,
}

fn current_context(file: &Path) -> Result<Option<String>> {
    let attempt = || {
        Error::failed(format!("cannot read `{}`", file.display()))
            .hint("name the engine with `DOCKER_HOST` or `DOCKER_CONTEXT`")
    };
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(attempt().source(e)),
    };
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    let config: ClientConfig = serde_json::from_slice(&text).map_err(|e| attempt().source(e))?;
    Ok(config.current_context.filter(|name| !name.is_empty()))
}

/// `meta.json` of a context (docker/cli `cli/context/store/metadatastore.go`).
#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Endpoints", default)]
    endpoints: MetaEndpoints,
}

#[derive(Deserialize, Default)]
struct MetaEndpoints {
    docker: Option<MetaEndpoint>,
}

#[derive(Deserialize)]
struct MetaEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

fn endpoint_of_context(name: &str, config: Option<&Path>) -> Result<Endpoint> {
    let contexts = config.map(|folder| folder.join("contexts"));
    let Some(contexts) = contexts else {
        return Err(unknown_context(name, &[]));
    };
    let id = hex::encode(Sha256::digest(name));
    let file = contexts.join("meta").join(&id).join("meta.json");
    let attempt = || Error::failed(format!("cannot read the Docker context `{name}`"));
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(unknown_context(name, &known_contexts(&contexts)));
        }
        Err(e) => return Err(attempt().source(e)),
    };
    let meta: Meta = serde_json::from_slice(&text)
        .map_err(|e| attempt().cause(format!("`{}`: {e}", file.display())))?;
    let Some(docker) = meta.endpoints.docker else {
        return Err(attempt().cause("it has no `docker` endpoint"));
    };
    if docker.host.is_empty() {
        return Ok(Endpoint::default_socket());
    }
    let tls = tls_of_context(
        &contexts.join("tls").join(&id).join("docker"),
        docker.skip_tls_verify,
    );
    Endpoint::parse(&docker.host, tls)
        .map_err(|e| e.context(format!("cannot use the Docker context `{name}`")))
}

/// TLS of a context: `None` without TLS files, unless verification is disabled.
fn tls_of_context(folder: &Path, skip_verify: bool) -> Option<Tls> {
    let ca = Some(folder.join("ca.pem")).filter(|ca| ca.exists());
    let identity = identity_in(folder);
    (ca.is_some() || identity.is_some() || skip_verify).then_some(Tls {
        ca,
        identity,
        skip_verify,
    })
}

/// The names of all readable contexts, sorted.
fn known_contexts(contexts: &Path) -> Vec<String> {
    let folders = fs::read_dir(contexts.join("meta")).into_iter().flatten();
    let mut names: Vec<String> = folders
        .filter_map(|folder| fs::read(folder.ok()?.path().join("meta.json")).ok())
        .filter_map(|text| Some(serde_json::from_slice::<Meta>(&text).ok()?.name))
        .collect();
    names.push(DEFAULT_CONTEXT.to_owned());
    names.sort();
    names
}

fn unknown_context(name: &str, known: &[String]) -> Error {
    let error = Error::usage(format!("no Docker context named `{name}`"));
    let error = match suggestion(name, known.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    };
    match known {
        [] => error.hint("unset `DOCKER_CONTEXT`, or set `HOME` or `DOCKER_CONFIG`"),
        _ => error.hint(format!("known contexts: `{}`", known.join("`, `"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Config(tempfile::TempDir);

    impl Config {
        fn new() -> Self {
            Config(tempfile::tempdir().unwrap())
        }

        fn file(self, name: &str, text: &str) -> Self {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn context(self, name: &str, docker: &str) -> Self {
            let id = hex::encode(Sha256::digest(name));
            let meta =
                format!(r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{docker}}}}}"#);
            self.file(&format!("contexts/meta/{id}/meta.json"), &meta)
        }

        fn named(&self, variables: &[(&str, &str)]) -> Result<NamedEndpoint> {
            let folder = ("DOCKER_CONFIG", self.0.path().to_str().unwrap());
            named_engine(&variables.iter().copied().chain([folder]).collect())
        }

        fn address(&self, variables: &[(&str, &str)]) -> String {
            self.named(variables).unwrap().endpoint.to_string()
        }
    }

    #[test]
    fn the_variable_wins_over_the_contexts_and_those_over_the_default() {
        let config = Config::new()
            .context("far", r#"{"Host":"ssh://far.example"}"#)
            .context("near", r#"{"Host":"unix:///near.sock"}"#)
            .file("config.json", r#"{"auths":{},"currentContext":"near"}"#);
        let (host, context) = (("DOCKER_HOST", "tcp://h:1"), ("DOCKER_CONTEXT", "far"));
        assert_eq!(config.address(&[host, context]), "tcp://h:1");
        assert_eq!(config.address(&[context]), "ssh://far.example");
        assert_eq!(config.address(&[]), "unix:///near.sock");
        assert_eq!(
            config.named(&[]).unwrap().origin,
            EndpointSource::Context("near".into())
        );
        let default = config.named(&[("DOCKER_CONTEXT", "default")]).unwrap();
        assert_eq!(default.origin, EndpointSource::Default);
        assert_eq!(default.endpoint, Endpoint::default_socket());
    }

    #[test]
    fn nothing_named_is_the_default_socket() {
        assert_eq!(
            Config::new().named(&[]).unwrap().origin,
            EndpointSource::Default
        );
        assert_eq!(
            named_engine(&Env::default()).unwrap().origin,
            EndpointSource::Default
        );
        let empty = Config::new().file("config.json", r#"{"currentContext":""}"#);
        assert_eq!(empty.named(&[]).unwrap().origin, EndpointSource::Default);
    }

    #[test]
    fn an_unknown_context_is_an_error_that_names_the_known_ones() {
        let config = Config::new()
            .context("building", r#"{"Host":"ssh://b"}"#)
            .file("config.json", r#"{"currentContext":"buildign"}"#);
        let error = config.named(&[]).unwrap_err().to_string();
        assert!(
            error.contains("no Docker context named `buildign`"),
            "{error}"
        );
        assert!(error.contains("did you mean `building`?"), "{error}");
        assert!(
            error.contains("known contexts: `building`, `default`"),
            "{error}"
        );
        assert!(named_engine(&Env::from_iter([("DOCKER_CONTEXT", "x")])).is_err());
    }

    #[test]
    fn a_broken_configuration_never_means_the_local_engine() {
        let broken = Config::new().file("config.json", "{");
        let error = broken.named(&[]).unwrap_err().to_string();
        assert!(error.contains("config.json"), "{error}");
        for docker in ["null", r#"{"Host":"npipe:////./pipe/x"}"#, "7"] {
            let config = Config::new().context("c", docker);
            let error = config.named(&[("DOCKER_CONTEXT", "c")]).unwrap_err();
            assert!(error.message.contains("Docker context `c`"), "{error}");
        }
    }

    #[test]
    fn a_variable_that_is_not_utf8_does_not_count_as_unset() {
        use std::os::unix::ffi::OsStringExt;
        let value = std::ffi::OsString::from_vec(b"tcp://\xff".to_vec());
        let error = named_engine(&Env::from_iter([("DOCKER_HOST", value)])).unwrap_err();
        assert!(
            error.message.contains("`DOCKER_HOST` is not UTF-8"),
            "{error}"
        );
    }

    fn tls(named: NamedEndpoint) -> Option<Tls> {
        match named.endpoint {
            Endpoint::Tcp { tls, .. } => tls,
            other => panic!("{other} is not TCP"),
        }
    }

    #[test]
    fn tls_variables_mean_what_they_mean_to_docker() {
        let config = Config::new().file("cert.pem", "").file("key.pem", "");
        let folder = config.0.path();
        let host = ("DOCKER_HOST", "tcp://h");
        assert_eq!(tls(config.named(&[host]).unwrap()), None);
        let verified = tls(config.named(&[host, ("DOCKER_TLS_VERIFY", "1")]).unwrap()).unwrap();
        assert_eq!(verified.ca, Some(folder.join("ca.pem")));
        assert_eq!(
            verified.identity,
            Some((folder.join("cert.pem"), folder.join("key.pem")))
        );
        assert!(!verified.skip_verify);
        let elsewhere = [host, ("DOCKER_TLS", "1"), ("DOCKER_CERT_PATH", "/certs")];
        let unverified = tls(config.named(&elsewhere).unwrap()).unwrap();
        assert_eq!(unverified.ca, Some("/certs/ca.pem".into()));
        assert_eq!(unverified.identity, None);
        assert!(unverified.skip_verify);
    }

    #[test]
    fn a_context_brings_its_own_tls_material() {
        let id = hex::encode(Sha256::digest("c"));
        let chosen = [("DOCKER_CONTEXT", "c")];
        let config = Config::new().context("c", r#"{"Host":"tcp://h:1","SkipTLSVerify":false}"#);
        assert_eq!(tls(config.named(&chosen).unwrap()), None);
        let config = config.file(&format!("contexts/tls/{id}/docker/ca.pem"), "");
        let ca = tls(config.named(&chosen).unwrap()).unwrap().ca.unwrap();
        assert!(ca.ends_with(format!("tls/{id}/docker/ca.pem")));
        let config = config.context("c", r#"{"Host":"tcp://h:1","SkipTLSVerify":true}"#);
        assert!(tls(config.named(&chosen).unwrap()).unwrap().skip_verify);
    }
}
