//! Answers BuildKit's questions for registry credentials when it pulls a base image:
//! `moby.filesync.v1.Auth`.
//!
//! The token methods are unimplemented; BuildKit then asks `Credentials` and fetches the
//! tokens itself (BuildKit, `util/resolver/authorizer.go`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::moby::filesync::v1::auth_server::Auth;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
    GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
    VerifyTokenAuthorityResponse,
};
use tokio::sync::{Mutex, mpsc};
use tonic::{Request, Response, Status};

use super::docker_config::{self, DockerConfig, RegistryLogin};
use crate::env::Env;

/// How long a credential helper may take.
const HELPER_LIMIT: Duration = Duration::from_secs(10);

/// The credentials of the user's Docker configuration. If they cannot be read, the registry is
/// asked anonymously, and a warning says so.
#[derive(Clone)]
pub struct RegistryAuth {
    env: Env,
    file: Option<PathBuf>,
    warnings: mpsc::UnboundedSender<String>,
    helper_limit: Duration,
    /// What was found for a host: a helper that hangs, for example, is asked only once.
    found: Arc<Mutex<HashMap<String, RegistryLogin>>>,
}

impl RegistryAuth {
    /// The credentials of the user with this environment; the warnings come out of the receiver.
    pub fn new(env: &Env) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (warnings, receiver) = mpsc::unbounded_channel();
        let auth = RegistryAuth {
            env: env.clone(),
            file: docker_config::file(env),
            warnings,
            helper_limit: HELPER_LIMIT,
            found: Arc::default(),
        };
        (auth, receiver)
    }

    async fn login(&self, host: &str) -> RegistryLogin {
        let mut found = self.found.lock().await;
        if let Some(login) = found.get(host) {
            return login.clone();
        }
        let login = self.look_up(host).await;
        found.insert(host.to_owned(), login.clone());
        login
    }

    async fn look_up(&self, host: &str) -> RegistryLogin {
        let Some(file) = &self.file else {
            return RegistryLogin::default();
        };
        let config = match DockerConfig::read(file) {
            Ok(config) => config,
            Err(e) => {
                let file = file.display();
                self.warn(format!(
                    "no registry credentials: cannot read `{file}`: {e}"
                ));
                return RegistryLogin::default();
            }
        };
        if let Some((helper, server)) = config.helper(host) {
            let asked = docker_config::ask_helper(helper, &server, &self.env, self.helper_limit);
            match asked.await {
                Ok(Some(login)) => return login,
                Ok(None) => {}
                Err(e) => self.warn(format!(
                    "no credentials for `{host}`: the helper `docker-credential-{helper}` failed: {e}"
                )),
            }
        }
        config.stored(host).unwrap_or_default()
    }

    fn warn(&self, text: String) {
        // The receiver is gone when the build is over.
        let _ = self.warnings.send(text);
    }
}

#[tonic::async_trait]
impl Auth for RegistryAuth {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let RegistryLogin { username, secret } = self.login(&request.get_ref().host).await;
        Ok(Response::new(CredentialsResponse { username, secret }))
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("ask for credentials"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("ask for credentials"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("ask for credentials"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::write_script;
    use std::time::Instant;

    /// A home with a Docker configuration and one credential helper, `docker-credential-test`.
    fn home(config: &str, helper: &str) -> (tempfile::TempDir, Env) {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("docker-credential-test");
        write_script(&program, helper);
        std::fs::create_dir(home.path().join(".docker")).unwrap();
        std::fs::write(home.path().join(".docker/config.json"), config).unwrap();
        let path = format!("{}:/usr/bin:/bin", home.path().display());
        let env = Env::from_iter([("HOME", home.path().to_str().unwrap()), ("PATH", &path)]);
        (home, env)
    }

    async fn ask(env: &Env, host: &str) -> (RegistryLogin, Option<String>) {
        let (auth, mut warnings) = RegistryAuth::new(env);
        let login = auth.login(host).await;
        auth.login(host).await;
        let warning = warnings.try_recv().ok();
        assert!(warnings.try_recv().is_err(), "a warning comes once");
        (login, warning)
    }

    const STORE: &str =
        r#"{"credsStore": "test", "auths": {"r.io": {"username": "f", "password": "p"}}}"#;

    #[tokio::test]
    async fn a_helper_is_asked_for_the_server() {
        let script =
            r#"read s; [ "$1" = get ] && printf '{"Username":"u","Secret":"for %s"}' "$s""#;
        let (_home, env) = home(STORE, script);
        let (login, warning) = ask(&env, "registry-1.docker.io").await;
        assert_eq!(login.username, "u");
        assert_eq!(login.secret, "for https://index.docker.io/v1/");
        assert_eq!(warning, None);
    }

    #[tokio::test]
    async fn a_helper_without_the_login_is_no_fault_and_the_file_serves() {
        let script = "echo credentials not found in native keychain; exit 1";
        let (_home, env) = home(STORE, script);
        let (login, warning) = ask(&env, "r.io").await;
        assert_eq!((login.username.as_str(), warning), ("f", None));
        assert!(ask(&env, "other.io").await.0 == RegistryLogin::default());
    }

    #[tokio::test]
    async fn a_failing_or_missing_helper_or_a_broken_file_gives_a_warning_and_no_login() {
        let (home, env) = home(r#"{"credsStore": "test"}"#, "echo locked; exit 3");
        let (login, warning) = ask(&env, "r.io").await;
        assert!(login == RegistryLogin::default());
        assert!(warning.unwrap().contains("locked"));
        for config in [
            r#"{"credsStore": "absent"}"#,
            r#"{"credsStore": "../x"}"#,
            "{",
        ] {
            std::fs::write(home.path().join(".docker/config.json"), config).unwrap();
            let (login, warning) = ask(&env, "r.io").await;
            assert!(login == RegistryLogin::default());
            assert!(warning.is_some(), "{config}");
        }
    }

    #[tokio::test]
    async fn a_hanging_helper_is_given_up() {
        let (_home, env) = home(r#"{"credsStore": "test"}"#, "exec sleep 60");
        let (mut auth, mut warnings) = RegistryAuth::new(&env);
        auth.helper_limit = Duration::from_secs(1);
        let started = Instant::now();
        assert!(auth.login("r.io").await == RegistryLogin::default());
        assert!(started.elapsed() < Duration::from_secs(40));
        assert!(
            warnings
                .try_recv()
                .unwrap()
                .contains("no answer within 1 s")
        );
    }
}
