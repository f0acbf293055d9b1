//! Connecting to S3 and to what speaks its protocol.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{BackoffConfig, ClientOptions, HeaderValue, ObjectStore, RetryConfig};

use super::super::{Operation, Result, StorageError, TableUri};

/// How long a failing request is repeated. Together with the time one request may take (30 s)
/// it bounds how late a put can still arrive, so the lease of a table lock must outlast both.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait for the credentials of the machine itself.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings by their environment names: `AWS_REGION`, `AWS_ENDPOINT_URL`, ….
///
/// | variable | meaning |
/// |---|---|
/// | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | credentials |
/// | `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN` | a role, by a token in a file |
/// | `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` | the role of a container |
/// | `AWS_REGION` or `AWS_DEFAULT_REGION` | region; `us-east-1` if not set |
/// | `AWS_ENDPOINT_URL` or `AWS_ENDPOINT_URL_S3` | another server; addressed by path |
/// | `AWS_ALLOW_HTTP` | `true` allows plain HTTP |
/// | `AWS_VIRTUAL_HOSTED_STYLE_REQUEST` | `true` if the bucket is part of the host name |
/// | `AWS_SKIP_SIGNATURE` | `true` for public data |
/// | `AWS_SERVER_SIDE_ENCRYPTION`, `AWS_SSE_KMS_KEY_ID` | encryption |
///
/// Without any credentials and without another server, those of the machine (EC2) are asked
/// for. Profiles in `~/.aws` are not read.
#[derive(Clone, Default)]
pub struct S3Settings {
    values: BTreeMap<String, String>,
}

impl S3Settings {
    /// All variables of this process whose names begin with `AWS_`.
    pub fn from_env() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
            .collect()
    }

    fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn is_true(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1"))
    }

    fn name_credentials(&self) -> bool {
        let keys = self.is_set("AWS_ACCESS_KEY_ID") && self.is_set("AWS_SECRET_ACCESS_KEY");
        let role = self.is_set("AWS_WEB_IDENTITY_TOKEN_FILE") && self.is_set("AWS_ROLE_ARN");
        let container = self.is_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
            || self.is_set("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        keys || role || container || self.is_true("AWS_SKIP_SIGNATURE")
    }

    fn name_half_a_key(&self) -> bool {
        self.is_set("AWS_ACCESS_KEY_ID") != self.is_set("AWS_SECRET_ACCESS_KEY")
    }

    fn name_an_endpoint(&self) -> bool {
        self.is_set("AWS_ENDPOINT_URL") || self.is_set("AWS_ENDPOINT") || self.is_set("AWS_ENDPOINT_URL_S3")
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for S3Settings {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(values: I) -> Self {
        Self { values: values.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

impl std::fmt::Debug for S3Settings {
    /// The names alone: the values hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// A client of the bucket of `uri`, with credentials at hand.
pub(super) async fn connect(uri: &TableUri, settings: &S3Settings) -> Result<Arc<dyn ObjectStore>> {
    let location = uri.to_string();
    if uri.bucket().is_empty() {
        let reason = "this is no bucket";
        return Err(StorageError::Unsupported { operation: Operation::Open, location, reason });
    }
    let certain = settings.name_credentials();
    if settings.name_half_a_key() || (settings.name_an_endpoint() && !certain) {
        return Err(StorageError::MissingCredentials { location, source: None });
    }
    let store = build(uri, settings).map_err(|error| StorageError::Io {
        operation: Operation::Open,
        location: location.clone(),
        source: Box::new(error),
    })?;
    if !certain {
        let machine = tokio::time::timeout(CREDENTIALS_TIMEOUT, store.credentials().get_credential());
        let source = match machine.await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.into()),
            Err(timeout) => Some(timeout.into()),
        };
        if source.is_some() {
            return Err(StorageError::MissingCredentials { location, source });
        }
    }
    Ok(Arc::new(store))
}

fn build(uri: &TableUri, settings: &S3Settings) -> object_store::Result<AmazonS3> {
    let retry =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: 10, retry_timeout: RETRY_TIMEOUT };
    let mut builder = AmazonS3Builder::new();
    for (name, value) in &settings.values {
        // Variables of other AWS tools mean nothing here.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    builder
        .with_bucket_name(uri.bucket())
        .with_retry(retry)
        .with_http_connector(ConditionalCompletion)
        .build()
}

/// Makes the completion of an upload in parts conditional, as the plain put of a new file is.
///
/// The client has no setting for that. The header is not among those that S3 wants signed.
#[derive(Debug)]
struct ConditionalCompletion;

impl HttpConnector for ConditionalCompletion {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(ConditionalService { inner }))
    }
}

#[derive(Debug)]
struct ConditionalService {
    inner: HttpClient,
}

#[async_trait]
impl HttpService for ConditionalService {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let completes = request.method() == "POST"
            && request
                .uri()
                .query()
                .is_some_and(|query| query.split('&').any(|q| q.starts_with("uploadId=")));
        if completes {
            request.headers_mut().insert("if-none-match", HeaderValue::from_static("*"));
        }
        self.inner.execute(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn connect_with(settings: &[(&str, &str)]) -> Result<Arc<dyn ObjectStore>> {
        let settings = settings.iter().copied().collect();
        connect(&"s3://lake/t".parse().unwrap(), &settings).await
    }

    #[tokio::test]
    async fn missing_credentials_are_named_with_their_variables() {
        let endpoint = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        for settings in
            [&[endpoint][..], &[endpoint, ("AWS_ACCESS_KEY_ID", "a")], &[("AWS_SECRET_ACCESS_KEY", "b")]]
        {
            let error = connect_with(settings).await.unwrap_err();
            assert!(matches!(error, StorageError::MissingCredentials { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains("s3://lake/t") && text.contains("AWS_SECRET_ACCESS_KEY"), "{text}");
        }
    }

    #[tokio::test]
    async fn given_credentials_need_no_request() {
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        assert!(connect_with(&keys).await.is_ok());
        assert!(connect_with(&[("AWS_SKIP_SIGNATURE", "true")]).await.is_ok());
    }

    #[tokio::test]
    async fn a_setting_without_meaning_is_an_error() {
        let keys =
            [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_SKIP_SIGNATURE", "perhaps")];
        assert!(matches!(connect_with(&keys).await, Err(StorageError::Io { .. })));
    }

    #[test]
    fn debug_shows_no_secret() {
        let settings: S3Settings = [("AWS_SECRET_ACCESS_KEY", "hush")].into_iter().collect();
        assert_eq!(format!("{settings:?}"), r#"{"AWS_SECRET_ACCESS_KEY"}"#);
    }
}
