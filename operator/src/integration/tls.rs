//! TLS to a server that a customer named: problems with its certificate are noted, not refused. Does I/O.
//!
//! Many internal mail servers have self-issued certificates, and many products do not verify certificates. The check
//! reports that, and sends no password to such a server.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Notes what is wrong with a certificate, and continues.
#[derive(Debug)]
struct Witness {
    judge: Arc<WebPkiServerVerifier>,
    wrong: Arc<Mutex<Option<String>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Err(e) = self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            *self.wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(words(&e).to_owned());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// What is wrong with a certificate.
fn words(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "it has expired"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "it is for another name",
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => "its issuer is unknown",
        _ => "it cannot be verified",
    }
}

/// Begins TLS. Returns the stream, and what is wrong with the certificate, if anything.
///
/// # Errors
/// A text when there is no TLS with this server.
pub async fn begin<IO>(stream: IO, host: &str) -> Result<(TlsStream<IO>, Option<String>), String>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned()).map_err(|_| "the host is no name".to_owned())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    let judge = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
    let judge = judge.map_err(|e| format!("no roots of trust: {e}"))?;
    let wrong = Arc::new(Mutex::new(None));
    let witness = Arc::new(Witness { judge, wrong: wrong.clone() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("no version of TLS: {e}"))?
        .dangerous()
        .with_custom_certificate_verifier(witness)
        .with_no_client_auth();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = connected.map_err(|_| "it does not speak TLS as it should".to_owned())?;
    let wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok((stream, wrong))
}
