//! A stream of QUIC.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use smol::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Ready;
use crate::Fallible;

const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
/// For which the certificate is.
const NAME: &str = "localhost";

/// Both directions, and what they belong to.
pub(super) struct Duplex {
    send: SendStream,
    receive: RecvStream,
    _connection: Connection,
    _endpoint: Endpoint,
}

/// Tells its address and its certificate, and takes one stream.
pub(super) async fn accept(ready: Ready) -> Fallible<Duplex> {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let key = PrivateKeyDer::try_from(signing_key.serialize_der())?;
    let config = ServerConfig::with_single_cert(vec![cert.der().clone()], key)?;
    let endpoint = Endpoint::server(config, SocketAddr::from(LOCAL))?;
    let certificate: String = cert.der().iter().map(|byte| format!("{byte:02x}")).collect();
    ready.send(Ok(format!("{}/{certificate}", endpoint.local_addr()?)))?;
    let connection = endpoint.accept().await.ok_or("nobody came")?.await?;
    let (send, mut receive) = connection.accept_bi().await?;
    // It comes with its first byte, which is not part of what is measured.
    receive.read_exact(&mut [0]).await?;
    Ok(Duplex { send, receive, _connection: connection, _endpoint: endpoint })
}

/// Opens a stream to one who accepts.
pub(super) async fn dial(place: &str) -> Fallible<Duplex> {
    let (address, certificate) = place.split_once('/').ok_or("a place without a certificate")?;
    let certificate: Result<Vec<u8>, _> = (0..certificate.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(certificate.get(at..at + 2).unwrap_or_default(), 16))
        .collect();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate?))?;
    let mut endpoint = Endpoint::client(SocketAddr::from(LOCAL))?;
    endpoint.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
    let connection = endpoint.connect(address.parse()?, NAME)?.await?;
    let (mut send, receive) = connection.open_bi().await?;
    AsyncWriteExt::write_all(&mut send, &[0]).await?;
    Ok(Duplex { send, receive, _connection: connection, _endpoint: endpoint })
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), context, buffer)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(Pin::new(&mut self.send), context)
    }
}
