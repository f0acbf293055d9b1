//! Decompression of whole inputs.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::{DecodeProblem, Packing};

const GZ_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZST_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const READ_BYTES: usize = 256 << 10;

/// The largest window that a Zstandard frame may ask memory for: 128 MiB, as its own tools allow.
pub(super) const ZST_WINDOW_LOG_MAX: u32 = 27;

type Sniffed = BufReader<Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>>;

/// The plain bytes of `read`: unpacked as `stated`, or as its first bytes say.
///
/// An empty input is an empty text, whatever its name.
pub(super) fn unpack(
    mut read: Box<dyn Read + Send>,
    stated: Option<Packing>,
) -> Result<Unpacked, DecodeProblem> {
    let mut head = Vec::new();
    read.by_ref().take(4).read_to_end(&mut head).map_err(DecodeProblem::Io)?;
    let found = if head.starts_with(GZ_MAGIC) {
        Packing::Gz
    } else if head == ZST_MAGIC {
        Packing::Zst
    } else {
        Packing::None
    };
    let packing = match stated {
        Some(Packing::None) => Packing::None,
        Some(stated) if stated != found && !head.is_empty() => {
            return Err(DecodeProblem::NotPacked { expected: name(stated), found: head });
        }
        _ => found,
    };
    let plain = BufReader::with_capacity(READ_BYTES, Cursor::new(head).chain(read));
    Unpacked::new(plain, packing).map_err(DecodeProblem::Io)
}

fn name(packing: Packing) -> &'static str {
    match packing {
        Packing::None => "nothing",
        Packing::Gz => "gzip",
        Packing::Zst => "zstd",
    }
}

/// An input's plain bytes.
pub(super) struct Unpacked {
    packing: Packing,
    read: Inner,
}

enum Inner {
    Plain(Sniffed),
    Gz(Box<MultiGzDecoder<Sniffed>>),
    Zst(ZstdDecoder<'static, Sniffed>),
}

impl Unpacked {
    fn new(plain: Sniffed, packing: Packing) -> io::Result<Self> {
        let read = match packing {
            Packing::None => Inner::Plain(plain),
            Packing::Gz => Inner::Gz(Box::new(MultiGzDecoder::new(plain))),
            Packing::Zst => {
                let mut decoder = ZstdDecoder::with_buffer(plain)?;
                decoder.window_log_max(ZST_WINDOW_LOG_MAX)?;
                Inner::Zst(decoder)
            }
        };
        Ok(Self { packing, read })
    }

    /// What the input was packed with, if anything.
    pub(super) fn packing(&self) -> Option<&'static str> {
        (self.packing != Packing::None).then(|| name(self.packing))
    }

    /// Reads what there is, at most as much as fits; 0 at the end of the input.
    ///
    /// # Errors
    /// Names the decompression when that is what fails.
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Result<usize, DecodeProblem> {
        loop {
            match self.read(buffer) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(match self.packing() {
                        Some(packing) => DecodeProblem::Unpack { packing, source },
                        None => DecodeProblem::Io(source),
                    });
                }
            }
        }
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.read {
            Inner::Plain(read) => read.read(buffer),
            Inner::Gz(read) => read.read(buffer),
            Inner::Zst(read) => read.read(buffer),
        }
    }
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacked").field("packing", &self.packing).finish_non_exhaustive()
    }
}

/// A buffered reader over the plain bytes, for decoders that want one.
pub(super) fn buffered(unpacked: Unpacked) -> impl BufRead + Send {
    BufReader::with_capacity(READ_BYTES, unpacked)
}
