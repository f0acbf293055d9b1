//! A running S3Mock in a process of its own.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::cache::{Artifact, Cache, InstallError};

const S3MOCK: Artifact =
    Artifact { group: "com.adobe.testing", name: "s3mock", version: "4.11.0", classifier: Some("exec") };

/// The bucket that is there from the start.
const BUCKET: &str = "lake";

/// It looks at the condition of a put and then puts, in two steps: of twelve that race to create an
/// object, several win. With one thread, which only its main port can be told to have, none comes
/// between the two.
const ONE_AT_A_TIME: [&str; 3] =
    ["-Dserver.ssl.enabled=false", "-Dserver.tomcat.threads.max=1", "-Dserver.tomcat.threads.min-spare=1"];

/// How often, and how many times, it is asked whether it has come up.
const POLL: Duration = Duration::from_millis(100);
const POLLS_MAX: u32 = 600;

/// Why there is no bucket.
#[derive(Debug, thiserror::Error)]
pub enum S3MockError {
    /// It is not installed and cannot be.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The process could not be started.
    #[error("s3mock: {0}")]
    Io(#[from] io::Error),
    /// It ended, or did not answer in time.
    #[error("s3mock did not come up; the end of its log:\n{log}")]
    NotUp {
        /// The last lines that it wrote.
        log: String,
    },
}

/// An S3Mock with the empty bucket `lake`. It ends when dropped, and what is in it is gone.
///
/// It takes a Java 17 on the PATH, some seconds to start and about 200 MB.
#[derive(Debug)]
pub struct S3Mock {
    process: Child,
    port: u16,
    /// All that it writes is in here.
    _folder: TempDir,
}

impl S3Mock {
    /// Installs it if it is missing, starts it on free ports, and waits until it answers.
    ///
    /// # Errors
    /// It cannot be installed, or does not come up.
    pub fn start() -> Result<Self, S3MockError> {
        let jar = Cache::open()?.jar(&S3MOCK)?;
        let folder = tempfile::Builder::new().prefix("lakebed-s3mock-").tempdir()?;
        let log = folder.path().join("s3mock.log");
        let [port, other_port] = free_ports()?;
        let out = File::create(&log)?;
        let process = Command::new("java")
            .args(["-Xmx256m", "-Dserver.address=127.0.0.1"])
            .args(ONE_AT_A_TIME)
            .arg(format!("-Dserver.port={port}"))
            .arg(format!("-Dhttp.port={other_port}"))
            .arg(format!("-Dcom.adobe.testing.s3mock.store.initialBuckets={BUCKET}"))
            .arg(format!("-Djava.io.tmpdir={}", folder.path().display()))
            .arg("-jar")
            .arg(jar)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            // A signal to the terminal's group is not meant for it: whoever uses it ends first.
            .process_group(0)
            .spawn()?;
        let mut mock = Self { process, port, _folder: folder };
        for _ in 0..POLLS_MAX {
            if mock.answers() {
                return Ok(mock);
            }
            if mock.process.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(POLL);
        }
        Err(S3MockError::NotUp { log: end_of(&log) })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The variables by which `lakebed::storage::object::S3Settings::from_env` and other clients
    /// reach it.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "lakebed".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "lakebed".to_owned()),
        ]
    }

    /// Whether it knows its bucket.
    fn answers(&self) -> bool {
        let ask = || {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let mut stream = TcpStream::connect_timeout(&address, POLL)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "HEAD /{BUCKET} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer)?;
            io::Result::Ok(answer)
        };
        ask().is_ok_and(|answer| answer == *b"HTTP/1.1 200")
    }
}

impl Drop for S3Mock {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Ports that nobody listened to a moment ago.
fn free_ports() -> io::Result<[u16; 2]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listening = [listen()?, listen()?];
    let [one, other] = &listening;
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
}
