//! Standard input, or any stream that comes once.

use std::sync::Arc;

use super::position::Origin;
use super::{Extent, Read, SourceError, StdinPosition};
use crate::ingest::decode::{Format, InputReader, PlainInput, ReadHash, Wanted};

/// What errors and dead letters call it.
const NAME: &str = "standard input";

/// A stream that comes once: after a restart it must come again from its beginning.
pub struct StdinSource {
    /// `None` behind the end.
    state: Option<State>,
}

enum State {
    New {
        stream: Box<dyn std::io::Read + Send>,
        format: Format,
        wanted: Wanted,
        from: Option<StdinPosition>,
    },
    /// With the hash of what a stream of blocks had up to its last record.
    Open {
        reader: Box<InputReader>,
        hash: String,
    },
}

impl std::fmt::Debug for StdinSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StdinSource")
    }
}

impl StdinSource {
    /// Reads `stream`, from behind what was read before: which must be there again, and is verified.
    pub fn new(
        stream: Box<dyn std::io::Read + Send>,
        format: Format,
        wanted: Wanted,
        from: Option<StdinPosition>,
    ) -> Self {
        Self { state: Some(State::New { stream, format, wanted, from }) }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Read>, SourceError> {
        let Some(state) = self.state.take() else { return Ok(None) };
        let (state, read) =
            tokio::task::spawn_blocking(move || state.next()).await.map_err(|_| SourceError::Stopped)??;
        self.state = read.is_some().then_some(state);
        Ok(read)
    }
}

impl State {
    fn next(self) -> Result<(Self, Option<Read>), SourceError> {
        let (mut reader, mut hash) = match self {
            Self::Open { reader, hash } => (reader, hash),
            Self::New { stream, format, wanted, from } => open(stream, &format, &wanted, from)?,
        };
        let before = hash.clone();
        let Some(chunk) = reader.next_chunk()? else { return Ok((Self::Open { reader, hash }, None)) };
        let origin = match reader.read_hash() {
            Some(read) => {
                // A message without records is passed over with the records behind it.
                if chunk.records() > 0 {
                    hash = read.hex();
                }
                Origin::StdinBlock { before, within: hash.clone() }
            }
            None => Origin::Stdin,
        };
        let read = Read { chunk: Some(chunk), extent: Extent::default(), changed_millis: None, origin };
        Ok((Self::Open { reader, hash }, Some(read)))
    }
}

fn open(
    stream: Box<dyn std::io::Read + Send>,
    format: &Format,
    wanted: &Wanted,
    from: Option<StdinPosition>,
) -> Result<(Box<InputReader>, String), SourceError> {
    let name: Arc<str> = NAME.into();
    let mut reader = InputReader::open(&name, PlainInput::Stream(stream), format, wanted)?;
    let place = from.as_ref().map(|from| from.place).unwrap_or_default();
    if from.is_some() {
        reader.skip_to(place)?;
    }
    let (hash, count, unit) = match (reader.text_hash(), reader.read_hash()) {
        (Some(text), _) => (text.hex(), place.byte, "bytes"),
        (None, read) => (read.map(ReadHash::hex).unwrap_or_default(), place.record, "records"),
    };
    match from {
        Some(from) if hash != from.prefix => Err(SourceError::OtherPrefix { count, unit }),
        _ => Ok((Box::new(reader), hash)),
    }
}
