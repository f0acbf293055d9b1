//! Metrics over HTTP: `GET /metrics`, and nothing else.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind};

/// Callers that are answered at the same time; more wait.
const CALLERS: usize = 16;

/// For how long a caller may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// Makes the text of all numbers as they are now.
pub(super) type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// Answers until it is dropped.
#[derive(Debug)]
pub(super) struct MetricsServer {
    /// Where it listens.
    pub(super) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The address that `text` means: a port alone is one of this machine alone.
pub(super) fn parse_address(text: &str) -> Result<String, String> {
    if text.parse::<u16>().is_ok() {
        return Ok(format!("127.0.0.1:{text}"));
    }
    match text.rsplit_once(':') {
        Some(("", port)) => {
            Err(format!("name the address: 127.0.0.1:{port}, or 0.0.0.0:{port} for all networks"))
        }
        Some((_, port)) if port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        _ => Err("expected a port, or an address with a port such as 127.0.0.1:9100".to_owned()),
    }
}

impl MetricsServer {
    /// Listens at `address`.
    ///
    /// # Errors
    /// An address that is not this machine's, or is taken.
    pub(super) async fn start(address: &str, metrics: MetricsText) -> Result<Self, Error> {
        let failed = |error| Error::new(ErrorKind::FixInput, format!("--metrics {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { address, accepting: tokio::spawn(accept(listener, metrics)) })
    }
}

async fn accept(listener: TcpListener, metrics: MetricsText) {
    let callers = Arc::new(Semaphore::new(CALLERS));
    loop {
        let Ok(caller) = callers.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = metrics.clone();
                tokio::spawn(async move {
                    serve(stream, &metrics).await;
                    drop(caller);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a caller of /metrics could not be answered");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, metrics: &MetricsText) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request, metrics)) });
    let mut http = http1::Builder::new();
    let served = http
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A caller that goes away, or does not read, is no failure of the run.
    let _ = tokio::time::timeout(SILENCE * 2, served).await;
}

fn answer(request: &Request<Incoming>, metrics: &MetricsText) -> Response<Full<Bytes>> {
    let text = |status, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != "/metrics" {
        return text(StatusCode::NOT_FOUND, "only /metrics is here\n".to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let mut response = text(StatusCode::OK, metrics());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(prometheus_text::CONTENT_TYPE));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_this_machine_alone() {
        assert_eq!(parse_address("9100").unwrap(), "127.0.0.1:9100");
        for address in ["0.0.0.0:9100", "[::1]:9100", "localhost:9100"] {
            assert_eq!(parse_address(address).unwrap(), address);
        }
        for wrong in [":9100", "70000", "localhost", "", "localhost:http"] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }
}
