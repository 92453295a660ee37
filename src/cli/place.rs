//! Which primary, which repo, which commit, which daemon is meant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use nix::unistd::AccessFlags;

use super::args::{RepoArgs, ServerArgs, SocketArgs};
use super::error::CliError;
use crate::config::{self, CLIENT_CONFIG, ConfigError, PRIMARY_CONFIG, PRIMARY_SOCKET, Puppet};
use crate::datadir::CONTROL_SOCKET;
use crate::puppet::Certificates;
use crate::remote::Remote;
use crate::values::{CommitId, RepoName};

/// Where a primary is that nobody said anything about.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8145";

/// Fewer digits of an id name nothing, as on the primary: a typing error should not hit a commit.
const FEWEST_DIGITS: usize = 8;

/// A repo of a primary.
pub(super) struct Primary {
    pub(super) remote: Remote,
    pub(super) repo: RepoName,
}

impl ServerArgs {
    /// The primary that is meant.
    pub(super) fn connect(&self) -> Result<Remote, CliError> {
        connect(self.server.as_deref())
    }
}

impl RepoArgs {
    /// The repo that is meant.
    pub(super) async fn connect(&self) -> Result<Primary, CliError> {
        Primary::connect(self.server.server.as_deref(), self.repo.clone()).await
    }
}

impl Primary {
    /// The repo of this name, or the only one, of the primary at this address, or where the configuration says.
    pub(super) async fn connect(server: Option<&str>, repo: Option<RepoName>) -> Result<Self, CliError> {
        let remote = connect(server)?;
        let repo = match repo {
            Some(repo) => repo,
            None => only(remote.repos().await?.repos.into_iter().map(|info| info.repo).collect())?,
        };
        Ok(Self { remote, repo })
    }

    /// The commit that a text names. The primary knows what it means: `head`, a tag, an id or its first digits.
    pub(super) async fn resolve(&self, text: &str) -> Result<CommitId, CliError> {
        match text.parse() {
            Ok(id) => Ok(id),
            Err(_) => Ok(self.remote.commit_info(&self.repo, text).await?.commit),
        }
    }
}

/// Whether a text may be the beginning of an id.
pub(super) fn is_abbreviation(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    digits && (FEWEST_DIGITS..64).contains(&text.len())
}

/// The one commit that an abbreviation names, if any.
pub(super) fn one_of(text: &str, mut found: Vec<CommitId>) -> Result<Option<CommitId>, CliError> {
    found.sort();
    found.dedup();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => Err(CliError::AmbiguousCommit { text: text.to_owned(), commits: found }),
    }
}

/// The only one of these.
pub(super) fn only(repos: Vec<RepoName>) -> Result<RepoName, CliError> {
    match <[RepoName; 1]>::try_from(repos) {
        Ok([repo]) => Ok(repo),
        Err(none) if none.is_empty() => Err(CliError::NoRepos),
        Err(several) => Err(CliError::SeveralRepos(several)),
    }
}

fn connect(server: Option<&str>) -> Result<Remote, CliError> {
    if let Some(address) = server
        && !address.starts_with("https://")
    {
        return Ok(Remote::new(address)?);
    }
    let found = configured(Path::new(PRIMARY_CONFIG), Path::new(CLIENT_CONFIG), Path::new(PRIMARY_SOCKET))?;
    let address = server.unwrap_or(&found.server);
    match &found.puppet {
        Some(puppet) if address.starts_with("https://") => {
            let certificates = Certificates::open(puppet).map_err(CliError::Certificates)?;
            Ok(Remote::secure(address, certificates.current().client.clone())?)
        }
        _ => Ok(Remote::new(address)?),
    }
}

/// The primary of this machine, and with which certificate to ask it.
struct Configured {
    server: String,
    puppet: Option<Puppet>,
}

/// What this machine's configuration says: itself where it is a primary, else its client's. A primary that asks for certificates is rather
/// asked through its socket, where this user may: that takes none. `usual` is where its socket is when its settings cannot be read.
fn configured(primary: &Path, client: &Path, usual: &Path) -> Result<Configured, CliError> {
    let at_socket = |path: &Path| Configured { server: format!("unix:{}", path.display()), puppet: None };
    if let Some(config) = if_there(config::read_primary(primary))? {
        let Some(puppet) = config.puppet else {
            return Ok(Configured { server: format!("http://{}", reachable(config.listen)), puppet: None });
        };
        let control = config.data_dir.join(CONTROL_SOCKET);
        let sockets = [Some(&control), config.socket.as_ref()];
        if let Some(socket) = sockets.into_iter().flatten().find(|path| may_use(path)) {
            return Ok(at_socket(socket));
        }
        // Over TLS it is called by the name in its certificate.
        let server = format!("https://{}:{}", puppet.certname, config.listen.port());
        return Ok(Configured { server, puppet: Some(puppet) });
    }
    if may_use(usual) {
        return Ok(at_socket(usual));
    }
    if let Some(config) = if_there(config::read_client(client))? {
        return Ok(Configured { server: config.server, puppet: config.puppet });
    }
    Ok(Configured { server: DEFAULT_SERVER.to_owned(), puppet: None })
}

/// Whether there is such a socket, and this user may connect to it.
fn may_use(socket: &Path) -> bool {
    nix::unistd::access(socket, AccessFlags::W_OK).is_ok()
}

/// Where Puppet's certificates are, as this machine's client says.
pub(super) fn client_puppet() -> Result<Option<Puppet>, CliError> {
    Ok(if_there(config::read_client(Path::new(CLIENT_CONFIG)))?.and_then(|config| config.puppet))
}

/// A configuration that is not there, or that this user may not read, says nothing; a wrong one is an error.
fn if_there<T>(read: Result<T, ConfigError>) -> Result<Option<T>, CliError> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    match read {
        Ok(config) => Ok(Some(config)),
        Err(ConfigError::Read { source, .. }) if matches!(source.kind(), NotFound | PermissionDenied) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// "All addresses" is nowhere one can connect to: this machine is meant.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

impl SocketArgs {
    /// This machine's client.
    pub(super) fn connect(&self) -> Result<Remote, CliError> {
        let data_dir = self.data_dir()?;
        if !data_dir.is_dir() {
            return Err(CliError::NoDataDir { path: data_dir });
        }
        Ok(Remote::unix(&data_dir.join(CONTROL_SOCKET))?)
    }

    fn data_dir(&self) -> Result<PathBuf, CliError> {
        match &self.data_dir {
            Some(path) => Ok(path.clone()),
            None => Ok(config::read_client(&self.config)?.data_dir),
        }
    }

    /// The primary of this machine's client, for what only the primary knows.
    pub(super) fn server(&self, given: Option<&str>) -> Result<Option<String>, CliError> {
        match given {
            Some(address) => Ok(Some(address.to_owned())),
            None => Ok(if_there(config::read_client(&self.config))?.map(|config| config.server)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CommitId {
        CommitId::of(text.as_bytes())
    }

    #[test]
    fn an_abbreviation_names_one_commit_or_says_which_it_could_be() {
        assert!(matches!(one_of("abcd", vec![]), Ok(None)));
        assert!(matches!(one_of("abcd", vec![id("a"), id("a")]), Ok(Some(found)) if found == id("a")));
        let error = one_of("abcd", vec![id("a"), id("b")]).unwrap_err();
        assert!(error.to_string().contains(&id("b").to_string()), "{error}");
        for (text, may_be) in [("abcdef0", false), ("abcdef01", true), ("ABCDEF01", false), ("v1.0", false)] {
            assert_eq!(is_abbreviation(text), may_be, "{text:?}");
        }
    }

    #[test]
    fn a_repo_is_guessed_only_where_there_is_one() {
        let repos = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<RepoName>>();
        assert_eq!(only(repos(&["a"])).unwrap().as_str(), "a");
        assert!(matches!(only(vec![]), Err(CliError::NoRepos)));
        let error = only(repos(&["a", "b"])).unwrap_err().to_string();
        assert!(error.contains("a, b"), "{error}");
    }

    #[test]
    fn the_machines_own_settings_say_where_the_primary_is() {
        let folder = tempfile::tempdir().unwrap();
        let (primary, client) = (folder.path().join("primary.toml"), folder.path().join("client.toml"));
        let usual = folder.path().join("usual.sock");
        let server = || configured(&primary, &client, &usual).map(|found| found.server);
        assert_eq!(server().unwrap(), DEFAULT_SERVER);
        let listener = std::os::unix::net::UnixListener::bind(&usual).unwrap();
        assert_eq!(server().unwrap(), format!("unix:{}", usual.display()), "a primary runs here");
        drop(listener);
        std::fs::remove_file(&usual).unwrap();
        std::fs::write(&client, "data-dir = \"/d\"\nserver = \"http://127.0.0.1:99\"\n[repos.a]").unwrap();
        assert_eq!(server().unwrap(), "http://127.0.0.1:99");
        let settings = "data-dir = \"/d\"\ninsecure = true\nlisten = \"[::]:77\"\n[repos.a]\nstaging-dir = \"/s\"";
        std::fs::write(&primary, settings).unwrap();
        assert_eq!(server().unwrap(), "http://[::1]:77");
        let tls = "[puppet]\ncertname = \"p.example\"\n[access]\nread = [\"*\"]";
        std::fs::write(&primary, format!("{settings}\n{tls}")).unwrap();
        assert_eq!(server().unwrap(), "https://p.example:77", "by the name in its certificate");
        let socket = folder.path().join("primary.sock");
        std::fs::write(&primary, format!("socket = {socket:?}\n{settings}\n{tls}")).unwrap();
        assert_eq!(server().unwrap(), "https://p.example:77", "it has no socket yet");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(server().unwrap(), format!("unix:{}", socket.display()), "no certificate is needed there");
        std::fs::write(&primary, "listen = 3").unwrap();
        assert!(server().is_err(), "a wrong configuration is not skipped");
    }
}
