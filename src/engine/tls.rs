//! The TLS client configuration for an engine, from PEM files. Only `connect` calls it.
//!
//! The crypto provider is chosen explicitly here; no process-wide default is installed.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::endpoint::Tls;
use crate::error::{Error, Result};

/// The system's certificate authorities (the files that Go's `crypto/x509` reads).
const SYSTEM_AUTHORITIES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The configuration for `tls`.
///
/// # Errors
/// When a file is missing or is not PEM, or the key does not match the certificate.
pub(super) fn client_config(tls: &Tls) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::bug("cannot set up TLS").source(e))?;
    let builder = if tls.skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    } else {
        builder.with_root_certificates(authorities(tls.ca.as_deref())?)
    };
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates(cert)?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, &e))?;
            let (cert, key) = (cert.display(), key.display());
            builder.with_client_auth_cert(chain, private).map_err(|e| {
                Error::failed(format!("cannot use `{cert}` with the key `{key}`")).source(e)
            })?
        }
    };
    // Docker's client never resumes a session, and with some servers resumption fails.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore> {
    let system = || {
        SYSTEM_AUTHORITIES
            .iter()
            .map(Path::new)
            .find(|f| f.exists())
    };
    let file = file.or_else(system).ok_or_else(|| {
        Error::failed(
            "cannot verify the engine's certificate: the system has no certificate authorities",
        )
        .hint("add the authority's certificate to the context or to `DOCKER_CERT_PATH`")
    })?;
    let mut store = RootCertStore::empty();
    // rustls may reject a few of a system's authorities; only if it rejects all is that an error.
    let (taken, _) = store.add_parsable_certificates(certificates(file)?);
    if taken == 0 {
        let attempt = format!(
            "cannot use the certificate authorities in `{}`",
            file.display()
        );
        return Err(Error::failed(attempt).cause("none of them is an X.509 certificate"));
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unreadable(
            file,
            &rustls_pki_types::pem::Error::NoItemsFound,
        )),
        Err(e) => Err(unreadable(file, &e)),
    }
}

fn unreadable(file: &Path, why: &rustls_pki_types::pem::Error) -> Error {
    Error::failed(format!("cannot read `{}` for TLS", file.display()))
        .source(why)
        .hint("`DOCKER_CERT_PATH` is the folder with `ca.pem`, `cert.pem` and `key.pem`")
}

/// Accepts any certificate, as the user asked for (`SkipTLSVerify`, or `DOCKER_TLS` without
/// `DOCKER_TLS_VERIFY`); the handshake itself is still verified.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(tls: &Tls) -> String {
        client_config(tls).unwrap_err().to_string()
    }

    #[test]
    fn a_missing_or_empty_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let tls = Tls {
            ca: Some(ca.clone()),
            ..Tls::default()
        };
        assert!(refused(&tls).contains(&format!("cannot read `{}`", ca.display())));
        std::fs::write(&ca, "no PEM").unwrap();
        assert!(refused(&tls).contains(&format!("cannot read `{}`", ca.display())));
        std::fs::write(
            &ca,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert!(refused(&tls).contains("none of them is an X.509 certificate"));
    }

    #[test]
    fn an_identity_without_its_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(
            &cert,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        let tls = Tls {
            ca: None,
            identity: Some((cert, key.clone())),
            skip_verify: true,
        };
        assert!(refused(&tls).contains(&format!("cannot read `{}`", key.display())));
    }
}
