//! Cutting text into records.

use bytes::Bytes;

use super::text_block::{STRAY_TEXT, Start};
use super::unpack::Unpacked;
use super::{DecodeProblem, Limits, Place, TextBlock, TextHash};

const READ_BYTES: usize = 256 << 10;
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// What ends a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// A line feed.
    Lines,
    /// A line end outside of quotes.
    Csv { delimiter: u8, quote: u8, escape: Option<u8> },
}

/// Cuts plain text into blocks of whole records, lines without text left out.
#[derive(Debug)]
pub(super) struct TextReader {
    read: Unpacked,
    limits: Limits,
    /// Text that was read; records before `scanner.at` are known.
    text: Vec<u8>,
    scanner: Scanner,
    /// The place of the first byte of `text`.
    place: Place,
    /// Of all before it, lines that were left out included.
    hash: TextHash,
    ended: bool,
    /// Whether records are handed out as they come, for a stream that may pause.
    eager: bool,
}

impl TextReader {
    pub(super) fn new(
        read: Unpacked,
        framing: Framing,
        limits: Limits,
        eager: bool,
    ) -> Result<Self, DecodeProblem> {
        let mut reader = Self {
            read,
            limits,
            eager,
            text: Vec::new(),
            scanner: Scanner::new(framing),
            place: Place::default(),
            hash: TextHash::new(),
            ended: false,
        };
        while reader.text.len() < BYTE_ORDER_MARK.len() && reader.fill()? {}
        if reader.text.starts_with(BYTE_ORDER_MARK) {
            reader.text.drain(..BYTE_ORDER_MARK.len());
            reader.place.byte += BYTE_ORDER_MARK.len() as u64;
        }
        Ok(reader)
    }

    /// Where the next block starts.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The hash of the text before that.
    pub(super) fn hash(&self) -> &TextHash {
        &self.hash
    }

    /// The first byte that is no white space, if one is near the beginning.
    pub(super) fn first_byte(&mut self) -> Result<Option<u8>, DecodeProblem> {
        let is_white = |text: &[u8]| text.trim_ascii().is_empty();
        while is_white(&self.text) && self.text.len() < READ_BYTES && self.fill()? {}
        Ok(self.text.trim_ascii_start().first().copied())
    }

    /// The next record by itself: a header. It is not counted.
    pub(super) fn header(&mut self) -> Result<Option<Bytes>, DecodeProblem> {
        let block = self.cut(1, 1)?;
        self.place.record = 0;
        match block {
            Some(block) if block.has_stray_text(0..1) => {
                Err(DecodeProblem::Header { found: STRAY_TEXT.to_owned() })
            }
            block => Ok(block.map(|block| block.bytes)),
        }
    }

    /// The next records: at most `records`, and enough of them for a block.
    pub(super) fn next(&mut self) -> Result<Option<TextBlock>, DecodeProblem> {
        self.cut(self.limits.batch_rows, self.limits.block_bytes)
    }

    /// Goes on to `place` without looking at records. Says whether the text is that long.
    pub(super) fn skip_to(&mut self, place: Place) -> Result<bool, DecodeProblem> {
        while self.place.byte < place.byte {
            if self.text.is_empty() && !self.fill()? {
                return Ok(false);
            }
            let wanted = usize::try_from(place.byte - self.place.byte).unwrap_or(usize::MAX);
            let count = wanted.min(self.text.len());
            self.hash.update(self.text.get(..count).unwrap_or_default());
            self.text.drain(..count);
            self.place.byte += count as u64;
        }
        self.place = place;
        self.scanner.restart();
        Ok(true)
    }

    fn cut(&mut self, records: usize, bytes: usize) -> Result<Option<TextBlock>, DecodeProblem> {
        loop {
            self.scanner.scan(&self.text, self.ended, records, bytes);
            let full =
                self.scanner.is_full(records, bytes) || (self.eager && !self.scanner.starts.is_empty());
            let open_bytes = self.text.len() - self.scanner.complete;
            let stuck = !full && (self.ended || open_bytes > self.limits.record_bytes);
            // What is whole goes first: a record that is broken is then the first of its block, and
            // its place known.
            if (full || stuck) && self.scanner.complete > 0 {
                match self.take() {
                    // There were only lines without text.
                    None => continue,
                    taken => return Ok(taken),
                }
            }
            if stuck {
                return self.no_record(open_bytes);
            }
            self.fill()?;
        }
    }

    /// What it means that no whole record begins here.
    fn no_record(&self, open_bytes: usize) -> Result<Option<TextBlock>, DecodeProblem> {
        match (open_bytes, self.ended) {
            (0, _) => Ok(None),
            (_, true) => Err(DecodeProblem::OpenQuote),
            (_, false) => {
                let quoted = self.scanner.is_quoted();
                Err(DecodeProblem::RecordTooLong { limit: self.limits.record_bytes, quoted })
            }
        }
    }

    fn take(&mut self) -> Option<TextBlock> {
        let (starts, length, lines) = self.scanner.take();
        let rest = self.text.split_off(length.min(self.text.len()));
        let bytes = Bytes::from(std::mem::replace(&mut self.text, rest));
        let (first, before) = (self.place, self.hash.clone());
        self.hash.update(&bytes);
        self.place = Place {
            record: first.record + starts.len() as u64,
            line: first.line + lines,
            byte: first.byte + bytes.len() as u64,
        };
        (!starts.is_empty()).then_some(TextBlock { bytes, starts, first, end: self.place, before })
    }

    /// Reads more text; says whether there was any.
    fn fill(&mut self) -> Result<bool, DecodeProblem> {
        let start = self.text.len();
        self.text.resize(start + READ_BYTES, 0);
        let filled = self.read.next(self.text.get_mut(start..).unwrap_or_default());
        self.text.truncate(start + *filled.as_ref().unwrap_or(&0));
        self.ended = filled? == 0;
        Ok(!self.ended)
    }
}

/// Finds the starts of records, as far as the text goes.
#[derive(Debug)]
struct Scanner {
    framing: Framing,
    /// Everything before it was looked at.
    at: usize,
    /// Where the last whole record ends, and the lines up to there.
    complete: usize,
    complete_lines: u64,
    lines: u64,
    state: State,
    starts: Vec<Start>,
    /// The start of the record that is being looked at.
    open: Option<Start>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a field.
    Field,
    /// Within a field without quotes, or in text behind the closing quote.
    Bare,
    /// Within quotes.
    Quoted,
    /// Behind the escape character within quotes.
    Escaped,
    /// Behind a quote within quotes: the closing one, or the first of two.
    Quote,
}

impl Scanner {
    fn new(framing: Framing) -> Self {
        Self {
            framing,
            at: 0,
            complete: 0,
            complete_lines: 0,
            lines: 0,
            state: State::Field,
            starts: Vec::new(),
            open: None,
        }
    }

    fn restart(&mut self) {
        *self = Self::new(self.framing);
    }

    fn is_quoted(&self) -> bool {
        matches!(self.state, State::Quoted | State::Escaped)
    }

    fn is_full(&self, records: usize, bytes: usize) -> bool {
        self.starts.len() >= records || self.complete >= bytes
    }

    /// The starts, the length and the lines of the whole records, which the caller takes away.
    fn take(&mut self) -> (Vec<Start>, usize, u64) {
        let (length, lines) = (self.complete, self.complete_lines);
        let starts = std::mem::take(&mut self.starts);
        self.restart();
        (starts, length, lines)
    }

    fn scan(&mut self, text: &[u8], ended: bool, records: usize, bytes: usize) {
        while !self.is_full(records, bytes) {
            let more = match self.framing {
                Framing::Lines => self.step_lines(text),
                Framing::Csv { delimiter, quote, escape } => self.step_csv(text, delimiter, quote, escape),
            };
            if !more {
                break;
            }
        }
        // The last record may have no line end. Where a quote is open, nobody knows where it ends.
        if ended && !self.is_full(records, bytes) && self.complete < text.len() && !self.is_quoted() {
            self.lines += u64::from(self.open.is_some());
            self.end_record(text.len());
        }
    }

    fn step_lines(&mut self, text: &[u8]) -> bool {
        let rest = text.get(self.at..).unwrap_or_default();
        let (line, found) = match memchr::memchr(b'\n', rest) {
            Some(length) => (rest.get(..length).unwrap_or_default(), true),
            None => (rest, false),
        };
        if self.open.is_none() && !line.trim_ascii().is_empty() {
            self.open_record(self.complete);
        }
        if !found {
            self.at = text.len();
            return false;
        }
        self.at += line.len() + 1;
        self.lines += 1;
        self.end_record(self.at);
        true
    }

    /// Follows the states of a CSV reader up to the next byte that matters.
    fn step_csv(&mut self, text: &[u8], delimiter: u8, quote: u8, escape: Option<u8>) -> bool {
        let rest = text.get(self.at..).unwrap_or_default();
        let skipped = match self.state {
            State::Bare => memchr::memchr3(delimiter, b'\n', b'\r', rest),
            State::Quoted => memchr::memchr3(quote, escape.unwrap_or(quote), b'\n', rest),
            State::Field | State::Quote | State::Escaped => Some(0),
        };
        let Some((&byte, skipped)) = skipped.and_then(|n| Some((rest.get(n)?, n))) else {
            self.at = text.len();
            return false;
        };
        self.at += skipped + 1;
        let is_line_end = byte == b'\n' || byte == b'\r';
        let before = self.state;
        self.state = match before {
            State::Quoted | State::Escaped => {
                self.lines += u64::from(byte == b'\n');
                match before {
                    State::Quoted if Some(byte) == escape => State::Escaped,
                    State::Quoted if byte == quote => State::Quote,
                    _ => State::Quoted,
                }
            }
            State::Quote if byte == quote => State::Quoted,
            _ if is_line_end => return self.line_end(text, byte),
            _ if byte == delimiter => State::Field,
            State::Field if byte == quote => State::Quoted,
            _ => State::Bare,
        };
        if self.open.is_none() {
            self.open_record(self.at - 1);
        }
        if let (State::Quote, State::Bare, Some(open)) = (before, self.state, &mut self.open) {
            open.has_stray_text = true;
        }
        true
    }

    fn line_end(&mut self, text: &[u8], byte: u8) -> bool {
        if byte == b'\r' {
            match text.get(self.at) {
                Some(b'\n') => self.at += 1,
                Some(_) => {}
                // The line feed may come with the next bytes; look at the line end again then.
                None => {
                    self.at -= 1;
                    return false;
                }
            }
        }
        self.lines += 1;
        self.state = State::Field;
        self.end_record(self.at);
        true
    }

    fn open_record(&mut self, byte: usize) {
        let start = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        self.open = Some(Start { byte: start(byte as u64), line: start(self.lines), has_stray_text: false });
    }

    fn end_record(&mut self, end: usize) {
        self.starts.extend(self.open.take());
        (self.complete, self.complete_lines) = (end, self.lines);
    }
}
