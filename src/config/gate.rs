//! The settings of the gate, and where Puppet keeps its certificates.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::{duration, is_loopback};

/// Where this host's Puppet keeps its certificates, in Puppet's own layout.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Puppet {
    /// Puppet's `ssldir`.
    #[serde(default = "default_ssl_dir")]
    pub ssl_dir: PathBuf,
    /// This host's name in its certificate.
    pub certname: String,
    /// The revocation list, where it is not `crl.pem` in `ssl-dir`. On the CA's own host the CA's `ca_crl.pem` is fresher.
    #[serde(default)]
    pub crl_file: Option<PathBuf>,
}

/// The reverse proxy in front of Puppet Server.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GateConfig {
    /// Where to answer agents, with mutual TLS.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Where to answer plain HTTP from a load balancer that ends TLS.
    #[serde(default)]
    pub plain_listen: Option<SocketAddr>,
    /// The load balancers whose `X-Client-*` headers are believed on `plain-listen`.
    #[serde(default)]
    pub trust_proxies: Vec<IpNet>,
    /// Puppet Server's plain HTTP address.
    pub upstream: String,
    /// Where each request is noted, one JSON object a line.
    #[serde(default = "default_access_log")]
    pub access_log: PathBuf,
    /// What a deploy holds.
    #[serde(default)]
    pub scope: GateScope,
    /// A request that reads code is ended after this time, so that none can block deploys for ever.
    #[serde(default = "default_request_timeout", deserialize_with = "duration")]
    pub request_timeout: Duration,
    /// How long to try to flush Puppet Server's cache before a deploy is taken back.
    #[serde(default = "default_flush_timeout", deserialize_with = "duration")]
    pub flush_timeout: Duration,
    /// How long running requests may take to finish when the daemon stops.
    #[serde(default = "default_stop_timeout", deserialize_with = "duration")]
    pub stop_timeout: Duration,
    /// How many requests are held at most; more get 503.
    #[serde(default = "default_max_held")]
    pub max_held: usize,
    /// How many connections are open at most; more wait to be accepted.
    #[serde(default = "default_max_connections")]
    pub max_connections: usize,
}

/// What a deploy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateScope {
    /// Requests for the environments that change.
    #[default]
    Environment,
    /// Every request that reads code: for sites where an ENC or a node terminus chooses the environment.
    All,
}

impl GateConfig {
    pub(super) fn check(&self, insecure: bool) -> Result<(), String> {
        if self.listen.is_none() && self.plain_listen.is_none() {
            return Err(
                "[gate] needs listen (agents, with TLS), plain-listen (a load balancer that ends TLS), or both".into(),
            );
        }
        if self.plain_listen.is_some() && self.trust_proxies.is_empty() {
            return Err("[gate] plain-listen needs trust-proxies = [\"10.0.0.5/32\"]: the load balancers whose X-Client-* headers are believed".into());
        }
        if self.plain_listen.is_none() && !self.trust_proxies.is_empty() {
            return Err(
                "[gate] trust-proxies is of no use without plain-listen; with TLS ended here no header is believed"
                    .into(),
            );
        }
        match is_loopback("http://", &self.upstream) {
            None => Err(format!(
                "[gate] upstream = {:?} must begin with http://, like http://127.0.0.1:8139",
                self.upstream
            )),
            Some(false) if !insecure => Err(format!(
                "[gate] upstream = {:?} is another machine: whoever reaches a Puppet Server that believes X-Client-* headers is whom he says he is; run the gate beside it, or write insecure = true if you mean it",
                self.upstream
            )),
            Some(_) => Ok(()),
        }
    }
}

fn default_ssl_dir() -> PathBuf {
    "/etc/puppetlabs/puppet/ssl".into()
}
fn default_access_log() -> PathBuf {
    "/var/log/sceneshift/access.log".into()
}
fn default_request_timeout() -> Duration {
    Duration::from_secs(600)
}
fn default_stop_timeout() -> Duration {
    Duration::from_secs(60)
}
fn default_max_held() -> usize {
    10_000
}
pub(super) fn default_max_connections() -> usize {
    20_000
}
pub(super) fn default_flush_timeout() -> Duration {
    Duration::from_secs(30)
}
