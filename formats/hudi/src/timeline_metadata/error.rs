//! Why the content of a timeline file could not be read or written.

/// The longest piece of foreign text that an error repeats, in characters.
const EVIDENCE_CHARS: usize = 300;

/// Why the content of a timeline file could not be read or written.
///
/// Says what is wrong and at which byte; which file it was, the caller adds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The file holds nothing. Pending files may be so on purpose, completed ones were cut off.
    #[error("the file is empty, expected an Avro container with one record")]
    Empty,
    /// The first bytes are those of no form that a timeline file has.
    #[error("the file starts with \"{}\", expected {expected}", found.escape_ascii())]
    Magic {
        /// The forms that were possible here.
        expected: &'static str,
        /// The first bytes found.
        found: Vec<u8>,
    },
    /// The container around the record is broken, most likely cut off.
    #[error("the Avro container is broken at byte {offset}: {problem}")]
    Container {
        /// Where, from the start of the file.
        offset: usize,
        /// What was found there.
        problem: &'static str,
    },
    /// The record is compressed, which Hudi never does to timeline files.
    #[error("the Avro container is compressed with {codec:?}, expected no compression")]
    Codec {
        /// The codec that the header names.
        codec: String,
    },
    /// The writer's schema in the container's header is no schema.
    #[error("the Avro schema in the header is unusable: {problem}")]
    Schema {
        /// What the parser says.
        problem: String,
    },
    /// The file holds another kind of record than its name promised.
    #[error("the file holds a {found:?}, expected a {expected}")]
    Kind {
        /// The record that was asked for.
        expected: &'static str,
        /// The full name of the record in the file.
        found: String,
    },
    /// The record does not decode, or lacks what it must have.
    #[error("{record} is broken at byte {offset}: {problem}")]
    Record {
        /// The record that was asked for.
        record: &'static str,
        /// Where, from the start of the file.
        offset: usize,
        /// What was found there.
        problem: String,
    },
    /// The JSON of timeline layout 1 does not parse, or lacks what it must have.
    #[error("the JSON of {record} is broken: {problem}")]
    Json {
        /// The record that was asked for.
        record: &'static str,
        /// What the parser says.
        problem: String,
    },
    /// The value does not fit the schema that Hudi writes.
    #[error("{record} cannot be written as Avro: {problem}")]
    Encode {
        /// The record to write.
        record: &'static str,
        /// What the encoder says.
        problem: String,
    },
}

/// The start of a foreign text, short enough to log.
pub(crate) fn evidence(text: &(impl ToString + ?Sized)) -> String {
    text.to_string().chars().take(EVIDENCE_CHARS).collect()
}
