//! Frames after one another, compressed as one (`storage-format.md` §7).

use std::io::{self, BufRead, BufReader, Read, Write};

use super::{Frame, FrameError};

/// The media type of a stream's HTTP body.
pub const STREAM_MEDIA_TYPE: &str = "application/vnd.sceneshift.stream.v1";

const MAGIC: &[u8; 8] = b"SCNSHFT1";

/// A stream is compressed as a whole: thousands of small manifests share what they have in common.
const COMPRESSION_LEVEL: i32 = 3;

/// Readers refuse a larger window, so that no sender can make them allocate more than 8 MiB for it.
const WINDOW_LOG: u32 = 23;

/// How much is allocated at once for a payload that has not arrived yet, in bytes.
const STEP: usize = 1 << 20;

/// Why a stream cannot be read on. What was read before is good.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The connection broke, or the compression is damaged.
    #[error("the stream broke")]
    Io(#[from] io::Error),
    /// Bytes that are not a stream of this version.
    #[error("this is not a stream of objects that this version understands")]
    Magic,
    /// A frame that is none.
    #[error("the stream holds a bad frame")]
    Frame(#[from] FrameError),
    /// The stream ended without saying that it is whole.
    #[error("the stream ended before it was whole")]
    Cut,
    /// Something follows the end.
    #[error("the stream goes on after its end")]
    AfterEnd,
    /// The end frame counted otherwise.
    #[error("the stream says it has {said} frames; {arrived} arrived")]
    Count {
        /// The count in the end frame.
        said: u64,
        /// How many were read.
        arrived: u64,
    },
    /// The sender said why it stopped.
    #[error("the sender gave up: {0}")]
    Failed(String),
}

/// Writes frames.
pub struct StreamWriter<W: Write> {
    out: zstd::stream::write::Encoder<'static, W>,
    frames: u64,
}

impl<W: Write> StreamWriter<W> {
    /// Begins a stream.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = zstd::stream::write::Encoder::new(out, COMPRESSION_LEVEL)?;
        out.window_log(WINDOW_LOG)?;
        out.write_all(MAGIC)?;
        Ok(Self { out, frames: 0 })
    }

    /// Writes one frame.
    pub fn write(&mut self, frame: &Frame) -> io::Result<()> {
        let (kind, payload) = frame.encode();
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        Frame::check_length(kind, payload.len()).map_err(io::Error::other)?;
        self.out.write_all(&[kind])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&payload)?;
        self.frames += 1;
        Ok(())
    }

    /// Says that the stream is whole, and ends it.
    pub fn finish(mut self) -> io::Result<W> {
        let frames = self.frames;
        self.write(&Frame::End(frames))?;
        self.out.finish()
    }

    /// Says why the stream is not whole, and ends it.
    pub fn fail(mut self, why: &str) -> io::Result<W> {
        self.write(&Frame::Failed(why.to_owned()))?;
        self.out.finish()
    }
}

/// Reads frames. Allocates no more than has arrived, whatever lengths a frame claims.
pub struct StreamReader<R: Read> {
    input: BufReader<zstd::stream::read::Decoder<'static, BufReader<R>>>,
    frames: u64,
}

impl<R: Read> StreamReader<R> {
    /// Begins to read a stream.
    pub fn new(input: R) -> Result<Self, StreamError> {
        let mut decoder = zstd::stream::read::Decoder::new(input)?.single_frame();
        decoder.window_log_max(WINDOW_LOG)?;
        let mut input = BufReader::new(decoder);
        let mut magic = [0; 8];
        read_exact(&mut input, &mut magic)?;
        if &magic == MAGIC { Ok(Self { input, frames: 0 }) } else { Err(StreamError::Magic) }
    }

    /// The next frame; `None` after the end of a whole stream. Never gives an `End` or `Failed` frame out.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, StreamError> {
        match self.read_frame()? {
            Frame::End(said) if said != self.frames => Err(StreamError::Count { said, arrived: self.frames }),
            Frame::End(_) => match self.input.read(&mut [0])? {
                0 if self.body_is_over() => Ok(None),
                _ => Err(StreamError::AfterEnd),
            },
            Frame::Failed(why) => Err(StreamError::Failed(why)),
            frame => {
                self.frames += 1;
                Ok(Some(frame))
            }
        }
    }

    /// Whether nothing follows the compression. A connection that breaks only now broke too late to matter.
    fn body_is_over(&mut self) -> bool {
        self.input.get_mut().get_mut().fill_buf().map_or(true, <[u8]>::is_empty)
    }

    fn read_frame(&mut self) -> Result<Frame, StreamError> {
        let mut head = [0; 5];
        read_exact(&mut self.input, &mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        Frame::check_length(kind, length)?;
        let mut payload = Vec::new();
        while payload.len() < length {
            let from = payload.len();
            payload.resize(length.min(from + STEP), 0);
            read_exact(&mut self.input, &mut payload[from..])?;
        }
        Ok(Frame::decode(kind, payload)?)
    }
}

fn read_exact(input: &mut impl Read, buffer: &mut [u8]) -> Result<(), StreamError> {
    input.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => StreamError::Cut,
        _ => StreamError::Io(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{BlobId, Chunk, ChunkList, MAX_WHOLE_BLOB, Tree};

    fn frames() -> Vec<Frame> {
        let size = MAX_WHOLE_BLOB as u64 + 5;
        let chunk = |length| Chunk { id: BlobId::of(&[length as u8]), length };
        let chunks = ChunkList::new(size, vec![chunk(MAX_WHOLE_BLOB as u32), chunk(5)]).unwrap();
        vec![
            Frame::Tree(Tree::default()),
            Frame::Blob(vec![1; MAX_WHOLE_BLOB]),
            Frame::Chunked { id: BlobId::of(b"large"), chunks, sent: vec![false, true] },
            Frame::Chunk(b"bytes".to_vec()),
        ]
    }

    fn written(frames: &[Frame]) -> Vec<u8> {
        let mut writer = StreamWriter::new(Vec::new()).unwrap();
        for frame in frames {
            writer.write(frame).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read_all(bytes: &[u8]) -> (Vec<Frame>, Option<StreamError>) {
        let mut read = Vec::new();
        let mut reader = match StreamReader::new(bytes) {
            Ok(reader) => reader,
            Err(error) => return (read, Some(error)),
        };
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => read.push(frame),
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(error)),
            }
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let (read, error) = read_all(&written(&frames()));
        assert!(error.is_none(), "{error:?}");
        assert_eq!(read, frames());
    }

    #[test]
    fn a_stream_cut_anywhere_is_an_error_and_never_a_wrong_frame() {
        let whole = written(&frames());
        for end in 0..whole.len() {
            let (read, error) = read_all(&whole[..end]);
            assert!(error.is_some(), "cut at {end} of {}", whole.len());
            assert_eq!(read, frames()[..read.len()]);
        }
    }

    #[test]
    fn a_payload_over_its_limit_is_refused_before_it_is_read() {
        let mut out = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        out.write_all(MAGIC).unwrap();
        out.write_all(&[4]).unwrap();
        out.write_all(&(MAX_WHOLE_BLOB as u32 + 1).to_le_bytes()).unwrap();
        let (_, error) = read_all(&out.finish().unwrap());
        assert!(matches!(error, Some(StreamError::Frame(FrameError::TooLarge { .. }))), "{error:?}");
    }

    #[test]
    fn a_sender_that_gives_up_says_why() {
        let writer = StreamWriter::new(Vec::new()).unwrap();
        let (_, error) = read_all(&writer.fail("the disk is on fire").unwrap());
        assert!(matches!(error, Some(StreamError::Failed(why)) if why.contains("fire")));
    }

    #[test]
    fn a_stream_that_counts_wrong_or_goes_on_is_refused() {
        let write = |frames: &[Frame]| {
            let mut writer = StreamWriter::new(Vec::new()).unwrap();
            frames.iter().for_each(|frame| writer.write(frame).unwrap());
            writer.out.finish().unwrap()
        };
        let (_, error) = read_all(&write(&[Frame::End(7)]));
        assert!(matches!(error, Some(StreamError::Count { said: 7, arrived: 0 })));
        let (_, error) = read_all(&write(&[Frame::End(0), Frame::Blob(vec![])]));
        assert!(matches!(error, Some(StreamError::AfterEnd)));
    }
}
