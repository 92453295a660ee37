//! Puppet's certificate authority, made by its own command while no server runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use http::{Method, Request, StatusCode};

use super::connection::{Connection, Target, body};

/// The certname of the server itself; the machine's own, as a gate on it has.
pub const SERVER: &str = "localhost";

/// Who a caller is: a certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certname: String,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The authority, and all certificates that it made.
#[derive(Debug, Clone)]
pub struct Ca {
    folder: PathBuf,
}

impl Ca {
    /// Makes the authority, the server's certificate, and one for each certname. Takes some seconds.
    pub fn make(folder: &Path, certnames: &[String]) -> Self {
        let ca = Self { folder: folder.to_owned() };
        std::fs::create_dir_all(folder.join("ca-conf")).unwrap();
        std::fs::write(ca.config(), ca.config_text()).unwrap();
        ca.call(&["setup", "--certname", SERVER, "--subject-alt-names", "DNS:localhost,IP:127.0.0.1"]);
        if !certnames.is_empty() {
            // As for a client of the authority: the only way that asks no server.
            ca.call(&["generate", "--ca-client", "--force", "--certname", &certnames.join(",")]);
        }
        ca
    }

    /// Where the authority keeps its own files.
    pub fn cadir(&self) -> PathBuf {
        self.folder.join("ca")
    }

    /// Puppet's own layout: `certs/ca.pem`, `crl.pem`, `certs/NAME.pem`, `private_keys/NAME.pem`.
    pub fn ssldir(&self) -> PathBuf {
        self.folder.join("ssl")
    }

    pub fn certificates(&self) -> PathBuf {
        self.ssldir().join("certs/ca.pem")
    }

    /// The list of what was revoked, as the authority keeps it up to date.
    pub fn crl(&self) -> PathBuf {
        self.cadir().join("ca_crl.pem")
    }

    pub fn identity(&self, certname: &str) -> Identity {
        Identity {
            certname: certname.to_owned(),
            certificate: self.ssldir().join(format!("certs/{certname}.pem")),
            key: self.ssldir().join(format!("private_keys/{certname}.pem")),
        }
    }

    /// Revokes a certificate, by the running server at `target`, which must be reached as somebody whom [`Ca::make`] made.
    pub async fn revoke(&self, target: &Target, certname: &str) {
        let mut connection = Connection::open(target).await.unwrap();
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("/puppet-ca/v1/certificate_status/{certname}"))
            .header("content-type", "application/json")
            .body(body(r#"{"desired_state":"revoked"}"#))
            .unwrap();
        let answer = connection.ask(request).await.unwrap();
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", String::from_utf8_lossy(&answer.body));
    }

    fn config(&self) -> PathBuf {
        self.folder.join("ca-conf/puppet.conf")
    }

    fn config_text(&self) -> String {
        let place = |name: &str| self.folder.join(name).display().to_string();
        format!(
            "[main]\nconfdir = {}\nvardir = {}\nrundir = {}\nlogdir = {}\nssldir = {}\nserver = localhost\n\
             certname = {SERVER}\nkeylength = 2048\nmanage_internal_file_permissions = false\n\
             [server]\ncadir = {}\n",
            place("ca-conf"),
            place("ca-var"),
            place("ca-run"),
            place("ca-log"),
            place("ssl"),
            place("ca"),
        )
    }

    fn call(&self, args: &[&str]) {
        let mut command = Command::new("puppetserver");
        command.args(["ca", args[0], "--config"]).arg(self.config()).args(&args[1..]);
        let output = command.output().expect("puppetserver is installed: make test-puppet installs it");
        assert!(output.status.success(), "puppetserver ca {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
