//! Standard input, or any stream that comes once.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::position::{Origin, hex};
use super::{Extent, Read, SourceError, StdinPosition};
use crate::ingest::decode::{Format, InputReader, PlainInput, Wanted};

/// What errors and dead letters call it.
const NAME: &str = "standard input";

/// A stream that comes once: after a restart it must come again from its beginning.
pub struct StdinSource {
    /// `None` behind the end.
    state: Option<State>,
}

enum State {
    New { stream: Box<dyn std::io::Read + Send>, format: Format, wanted: Wanted, from: Option<StdinPosition> },
    Open { reader: Box<InputReader>, hash: Box<Xxh3> },
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
        let chunk = reader.next_chunk()?;
        if let Some(chunk) = &chunk {
            hash.update(chunk.text_before(chunk.records()));
        }
        let read = chunk.map(|chunk| Read {
            chunk: Some(chunk),
            extent: Extent::default(),
            changed_millis: None,
            origin: Origin::Stdin(before),
        });
        Ok((Self::Open { reader, hash }, read))
    }
}

fn open(
    stream: Box<dyn std::io::Read + Send>,
    format: &Format,
    wanted: &Wanted,
    from: Option<StdinPosition>,
) -> Result<(Box<InputReader>, Box<Xxh3>), SourceError> {
    let name: Arc<str> = NAME.into();
    let mut reader = InputReader::open(&name, PlainInput::Stream(stream), format, wanted)?;
    let mut hash = Box::new(Xxh3::new());
    hash.update(reader.header());
    if let Some(from) = from {
        let bytes = from.place.byte;
        reader.skip_to(from.place, |text| hash.update(text))?;
        if hex(&hash) != from.prefix {
            return Err(SourceError::OtherPrefix { bytes });
        }
    }
    Ok((Box::new(reader), hash))
}
