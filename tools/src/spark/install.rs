//! Which Spark and which Hudi, and where they are installed.

use std::path::PathBuf;

use crate::cache::{Artifact, Cache, InstallError};

const PACKAGES: [&str; 4] = ["pyspark==3.5.6", "pyarrow", "duckdb", "fastavro"];

const BUNDLE: Artifact = Artifact {
    group: "org.apache.hudi",
    name: "hudi-spark3.5-bundle_2.12",
    version: "1.2.0",
    classifier: None,
};

/// What reads and writes buckets, with what it needs.
const S3A: [Artifact; 2] = [
    Artifact { group: "org.apache.hadoop", name: "hadoop-aws", version: "3.3.4", classifier: None },
    Artifact { group: "com.amazonaws", name: "aws-java-sdk-bundle", version: "1.12.262", classifier: None },
];

/// Spark 3.5.6 and Hudi 1.2.0, ready to start. Spark needs a Java 17 on the PATH or in `JAVA_HOME`.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The Python interpreter that has pyspark.
    pub python: PathBuf,
    /// Hudi's bundle for Spark.
    pub bundle: PathBuf,
}

impl Installation {
    /// Finds what is installed and installs what is not.
    ///
    /// # Errors
    /// Packages that cannot be had.
    pub fn ready() -> Result<Self, InstallError> {
        let cache = Cache::open()?;
        Ok(Self { python: cache.python("venv", &PACKAGES)?, bundle: cache.jar(&BUNDLE)? })
    }

    /// The jars that Spark reads and writes buckets with.
    ///
    /// # Errors
    /// They cannot be had.
    pub fn s3a_jars() -> Result<Vec<PathBuf>, InstallError> {
        let cache = Cache::open()?;
        S3A.iter().map(|artifact| cache.jar(artifact)).collect()
    }
}
