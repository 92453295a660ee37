//! What can go wrong. Puppet Server logs it, so it says what to do.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no answer.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields say what the messages say")]
pub enum VersionedCodeError {
    /// A program was called with another number of arguments.
    Usage(&'static str),
    /// The settings cannot be read.
    ReadSettings { path: PathBuf, source: io::Error },
    /// The settings cannot be understood.
    Settings { path: PathBuf, source: Box<toml::de::Error> },
    /// The farm cannot be read.
    Read { path: PathBuf, source: io::Error },
    /// The farm holds something else than it should.
    Damaged { path: PathBuf },
    /// A text that is no version.
    NoId(OsString),
    /// A text that is no environment's name.
    NoEnvironment(OsString),
    /// A text that is no path inside an environment.
    NoPath(OsString),
    /// What is at the path belongs to no version of the environment.
    Leaves { path: PathBuf },
    /// There is something at the path, and it is no file.
    NoFile { path: PathBuf },
    /// A file that broke off.
    Copy { path: PathBuf, source: io::Error },
    /// The client daemon cannot be asked.
    Unreachable { socket: PathBuf, source: io::Error },
    /// The client daemon did not answer in time.
    TimedOut { socket: PathBuf },
    /// The client daemon, or the primary behind it, said no.
    Refused { status: u16, detail: String },
    /// The answer broke off.
    Truncated { missing: u64 },
    /// An answer that makes no sense.
    Nonsense { socket: PathBuf },
    /// No repo is configured.
    NoRepos,
    /// Standard output.
    Output(io::Error),
}

impl fmt::Display for VersionedCodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(usage) => write!(f, "call it as: {usage}"),
            Self::ReadSettings { path, .. } => write!(
                f,
                "cannot read the client's settings {} (set SCENESHIFT_CLIENT_CONFIG where they are elsewhere; Puppet Server's user must be able to read them)",
                path.display()
            ),
            Self::Settings { path, .. } => write!(f, "{} is not a client's settings", path.display()),
            Self::Read { path, .. } => {
                write!(f, "cannot read {} (Puppet Server's user must be in the client's reader-group)", path.display())
            }
            Self::Damaged { path } => {
                write!(
                    f,
                    "{} is not what it should be; run `sceneshift fsck` on the client's data directory",
                    path.display()
                )
            }
            Self::NoId(text) => write!(f, "{text:?} is no code id: 64 hexadecimal digits"),
            Self::NoEnvironment(text) => write!(f, "{text:?} is no environment's name"),
            Self::NoPath(text) => write!(f, "{text:?} is no path inside an environment"),
            Self::Leaves { path } => write!(
                f,
                "{path:?} leads out of the environment by a symbolic link; its content belongs to no version of the environment, so copy it into the environment, or set static_catalogs to false"
            ),
            Self::NoFile { path } => write!(f, "{path:?} is no file"),
            Self::Copy { path, .. } => write!(f, "cannot hand on all of {}", path.display()),
            Self::Unreachable { socket, .. } => write!(
                f,
                "this machine does not have it, and its client daemon cannot be asked at {} (is it running, and Puppet Server's user in its reader-group?)",
                socket.display()
            ),
            Self::TimedOut { socket } => write!(
                f,
                "this machine does not have it, and the client daemon did not answer in time at {}",
                socket.display()
            ),
            Self::Refused { status, detail } => {
                write!(f, "this machine does not have it, and the client daemon answered {status}: {detail}")
            }
            Self::Truncated { missing } => write!(f, "the content broke off {missing} bytes before its end"),
            Self::Nonsense { socket } => write!(
                f,
                "what listens at {} gave an answer that makes no sense (is it a client daemon of the same version?)",
                socket.display()
            ),
            Self::NoRepos => f.write_str("the client's settings name no repo"),
            Self::Output(_) => f.write_str("cannot write to standard output"),
        }
    }
}

impl Error for VersionedCodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::ReadSettings { source, .. }
            | Self::Read { source, .. }
            | Self::Copy { source, .. }
            | Self::Unreachable { source, .. }
            | Self::Output(source) => Some(source),
            Self::Settings { source, .. } => Some(source),
            _ => None,
        }
    }
}
