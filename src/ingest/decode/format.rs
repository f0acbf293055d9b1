//! What an input's bytes are.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::DecodeProblem;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormatKind {
    /// Comma separated values, one record a line or quoted over several.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Parquet files.
    Parquet,
    /// Avro object container files.
    Avro,
    /// Arrow IPC, as a file or a stream.
    Arrow,
}

impl FormatKind {
    /// The name that job files use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
            Self::Avro => "avro",
            Self::Arrow => "arrow",
        }
    }

    /// Whether its records are lines of text.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Jsonl)
    }

    fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "csv" | "tsv" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            "parquet" => Some(Self::Parquet),
            "avro" => Some(Self::Avro),
            "arrow" | "arrows" | "ipc" | "feather" => Some(Self::Arrow),
            _ => None,
        }
    }
}

/// How an input's bytes are compressed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// Not at all.
    None,
    /// gzip, of one member or several.
    Gz,
    /// Zstandard, of one frame or several.
    Zst,
}

impl Packing {
    fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "gz" | "gzip" => Some(Self::Gz),
            "zst" | "zstd" => Some(Self::Zst),
            _ => None,
        }
    }
}

/// How CSV is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// Whether the first record names the columns.
    pub header: bool,
    /// The names of the columns, where no header gives them.
    pub columns: Vec<String>,
    /// Between fields.
    pub delimiter: u8,
    /// Around fields that contain delimiters; doubled, it stands for itself.
    pub quote: u8,
    /// Before a quote that stands for itself, where doubling is not used; the quote itself doubles it.
    pub escape: Option<u8>,
    /// The texts that mean null.
    pub nulls: Vec<String>,
}

impl Default for CsvOptions {
    /// A header, commas, double quotes; an empty field is null.
    fn default() -> Self {
        Self {
            header: true,
            columns: Vec::new(),
            delimiter: b',',
            quote: b'"',
            escape: None,
            nulls: vec![String::new()],
        }
    }
}

/// How much of an input is held at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The greatest record of text, in bytes.
    pub record_bytes: usize,
    /// A block of text ends with the record that reaches so many bytes.
    pub block_bytes: usize,
    /// Records of one batch.
    pub batch_rows: usize,
    /// The greatest unit that an input is read by, in bytes: a message of Arrow IPC, a block of Avro
    /// (packed and unpacked together), a page of Parquet; also what an Avro record may take in memory.
    pub unit_bytes: u64,
}

impl Default for Limits {
    /// 16 MiB a record, 1 MiB a block, 8,192 rows a batch, 1 GiB a unit.
    fn default() -> Self {
        Self { record_bytes: 16 << 20, block_bytes: 1 << 20, batch_rows: 8192, unit_bytes: 1 << 30 }
    }
}

/// Everything about how an input is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Format {
    /// How records are written; from the name of the input if `None`.
    pub kind: Option<FormatKind>,
    /// How the bytes are compressed; from the name and the first bytes if `None`.
    pub packing: Option<Packing>,
    /// For CSV.
    pub csv: CsvOptions,
    /// How much is held at once.
    pub limits: Limits,
}

impl Format {
    /// How records of the input called `name` are written: as stated, or by its extension.
    ///
    /// # Errors
    /// Nothing stated and an extension that says nothing.
    pub fn kind_of(&self, name: &str) -> Result<FormatKind, DecodeProblem> {
        let by_name = || {
            let path = Path::new(name);
            let path = if packing_by_name(name).is_some() { Path::new(path.file_stem()?) } else { path };
            FormatKind::of_extension(path.extension()?.to_str()?)
        };
        self.kind.or_else(by_name).ok_or(DecodeProblem::UnknownFormat)
    }

    /// How the input called `name` is compressed, as far as stated or told by its extension.
    pub(super) fn packing_of(&self, name: &str) -> Option<Packing> {
        self.packing.or_else(|| packing_by_name(name))
    }
}

fn packing_by_name(name: &str) -> Option<Packing> {
    Packing::of_extension(Path::new(name).extension()?.to_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_format() {
        let format = Format::default();
        for (name, kind, packing) in [
            ("/a/b.csv", Some(FormatKind::Csv), None),
            ("b.CSV.GZ", Some(FormatKind::Csv), Some(Packing::Gz)),
            ("b.ndjson.zst", Some(FormatKind::Jsonl), Some(Packing::Zst)),
            ("x.y/part-0.parquet", Some(FormatKind::Parquet), None),
            ("b.avro", Some(FormatKind::Avro), None),
            ("b.arrow", Some(FormatKind::Arrow), None),
            ("b.gz", None, Some(Packing::Gz)),
            ("data", None, None),
        ] {
            assert_eq!((format.kind_of(name).ok(), format.packing_of(name)), (kind, packing), "{name}");
        }
        let stated = Format { kind: Some(FormatKind::Jsonl), ..Format::default() };
        assert_eq!(stated.kind_of("b.csv").unwrap(), FormatKind::Jsonl);
    }
}
