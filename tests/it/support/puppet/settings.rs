//! What a Puppet Server is told: its configuration files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::ca::{Ca, SERVER};

/// Where Debian's package keeps the files that a server starts from.
const PACKAGED: &str = "/etc/puppet/puppetserver";

/// How the server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Plain HTTP behind a proxy that ended TLS: whoever asks is believed to be whom the headers say.
    Plain,
    /// Mutual TLS, ended by the server itself.
    Tls,
}

/// Who may flush the environment cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admin {
    /// The host itself, by its certname.
    Host,
    /// Anybody who reaches the port.
    Anybody,
}

/// The settings that tests vary; all others are one and the same for all tests.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listener: Listener,
    /// Puppet's `environmentpath`, several separated by colons.
    pub environmentpath: String,
    /// Puppet's `basemodulepath`.
    pub basemodulepath: String,
    pub versioned_environment_dirs: bool,
    pub admin: Admin,
    /// A command that says of each node which environment it is in.
    pub classifier: Option<PathBuf>,
    /// Commands that answer a code id and a file of a version: they make catalogs static.
    pub code_commands: Option<(PathBuf, PathBuf)>,
    /// More environment variables for the JVM, which hands them on to those commands.
    pub environment: Vec<(String, String)>,
    /// Sign every request for a certificate at once.
    pub autosign: bool,
    /// Compilers.
    pub jrubies: usize,
}

impl Settings {
    /// A server of these environments, on a plain port, with two compilers.
    pub fn new(environmentpath: impl AsRef<Path>) -> Self {
        Self {
            listener: Listener::Plain,
            environmentpath: environmentpath.as_ref().display().to_string(),
            basemodulepath: String::new(),
            versioned_environment_dirs: false,
            admin: Admin::Host,
            classifier: None,
            code_commands: None,
            environment: Vec::new(),
            autosign: true,
            jrubies: 2,
        }
    }

    /// Writes every file into the server's folder, over those of before.
    pub(super) fn write(&self, folder: &Path, ca: &Ca, port: u16) {
        for dir in ["conf", "conf.d", "services.d", "var", "run", "log", "tmp", "code", "public"] {
            std::fs::create_dir_all(folder.join(dir)).unwrap();
        }
        let write = |path: &str, text: &str| std::fs::write(folder.join(path), text).unwrap();
        write("conf/puppet.conf", &self.puppet_conf(folder, ca));
        write("conf/hiera.yaml", "---\nversion: 5\nhierarchy: []\n");
        for name in ["services.d/bootstrap.cfg", "services.d/ca.cfg", "conf.d/ca.conf", "conf.d/web-routes.conf"] {
            write(name, &packaged(name));
        }
        write("conf.d/auth.conf", &self.auth_conf());
        write("conf.d/webserver.conf", &self.webserver_conf(folder, port));
        write("conf.d/puppetserver.conf", &self.puppetserver_conf(folder));
        write("conf.d/global.conf", &format!("global: {{ logging-config: {:?} }}\n", folder.join("logback.xml")));
        write("conf.d/metrics.conf", &format!("metrics: {{ server-id: {SERVER}, registries: {{}} }}\n"));
        write("logback.xml", LOGBACK);
        write("requests.xml", &requests_xml(folder));
        write("run/restart", "0");
    }

    fn puppet_conf(&self, folder: &Path, ca: &Ca) -> String {
        let place = |name: &str| folder.join(name).display().to_string();
        let nodes = self
            .classifier
            .as_ref()
            .map(|command| format!("node_terminus = exec\nexternal_nodes = {}\n", command.display()));
        format!(
            "[main]\nconfdir = {conf}\ncodedir = {code}\nvardir = {var}\nrundir = {run}\nlogdir = {log}\npublicdir = {public}\n\
             ssldir = {ssl}\nenvironmentpath = {environments}\nbasemodulepath = {modules}\ncertname = {SERVER}\nserver = localhost\n\
             user = {user}\ngroup = {group}\nmanage_internal_file_permissions = false\n\
             [server]\ncadir = {cadir}\nautosign = {autosign}\nenvironment_timeout = unlimited\n\
             versioned_environment_dirs = {versioned}\nstatic_catalogs = true\n{nodes}",
            conf = place("conf"),
            code = place("code"),
            var = place("var"),
            run = place("run"),
            log = place("log"),
            public = place("public"),
            ssl = ca.ssldir().display(),
            environments = self.environmentpath,
            modules = self.basemodulepath,
            user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name,
            group = nix::unistd::Group::from_gid(nix::unistd::getegid()).unwrap().unwrap().name,
            cadir = ca.cadir().display(),
            autosign = self.autosign,
            versioned = self.versioned_environment_dirs,
            nodes = nodes.unwrap_or_default(),
        )
    }

    /// Debian's rules, with one more, and with the leave to believe headers.
    fn auth_conf(&self) -> String {
        let packaged = packaged("conf.d/auth.conf");
        let allow = match self.admin {
            Admin::Host => format!("allow: [ \"{SERVER}\" ]"),
            Admin::Anybody => "allow-unauthenticated: true".to_owned(),
        };
        let trust = self.listener == Listener::Plain;
        let mut text = String::new();
        for line in packaged.lines() {
            writeln!(text, "{line}").unwrap();
            match line.trim() {
                "version: 1" if trust => text.push_str("    allow-header-cert-info: true\n"),
                "rules: [" => writeln!(
                    text,
                    "        {{ match-request: {{ path: \"/puppet-admin-api/v1\", type: path, method: [get, delete] }}\n          \
                     {allow}, sort-order: 400, name: \"flush\" }},"
                )
                .unwrap(),
                _ => {}
            }
        }
        text
    }

    fn webserver_conf(&self, folder: &Path, port: u16) -> String {
        let ssl = if self.listener == Listener::Tls { "ssl-" } else { "" };
        format!(
            "webserver: {{\n    access-log-config: {:?}\n    client-auth: want\n    {ssl}host: \"127.0.0.1\"\n    {ssl}port: {port}\n}}\n",
            folder.join("requests.xml")
        )
    }

    fn puppetserver_conf(&self, folder: &Path) -> String {
        let place = |name: &str| format!("{:?}", folder.join(name));
        let mut text = format!(
            "jruby-puppet: {{\n    ruby-load-path: [/usr/lib/puppetserver/ruby/vendor_ruby]\n    gem-home: {}\n    \
             gem-path: [${{jruby-puppet.gem-home}}, \"/usr/lib/puppetserver/vendored-jruby-gems\"]\n    server-conf-dir: {}\n    \
             server-code-dir: {}\n    server-var-dir: {}\n    server-run-dir: {}\n    server-log-dir: {}\n    \
             max-active-instances: {}\n}}\nhttp-client: {{}}\nprofiler: {{ enabled: false }}\nproduct: {{ check-for-updates: false }}\n",
            place("var/gems"),
            place("conf"),
            place("code"),
            place("var"),
            place("run"),
            place("log"),
            self.jrubies,
        );
        if let Some((id, content)) = &self.code_commands {
            writeln!(text, "versioned-code: {{ code-id-command: {id:?}, code-content-command: {content:?} }}").unwrap();
        }
        text
    }
}

fn packaged(name: &str) -> String {
    let path = Path::new(PACKAGED).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Everything goes where the process's own words go, so that one file tells all.
const LOGBACK: &str = r#"<configuration>
  <appender name="ERR" class="ch.qos.logback.core.ConsoleAppender">
    <target>System.err</target>
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5p [%t] [%c{2}] %m%n</pattern></encoder>
  </appender>
  <root level="info"><appender-ref ref="ERR"/></root>
</configuration>
"#;

fn requests_xml(folder: &Path) -> String {
    format!(
        r#"<configuration debug="false">
  <appender name="FILE" class="ch.qos.logback.core.FileAppender">
    <file>{}</file>
    <encoder><pattern>%h %u [%t] "%r" %s %b %D</pattern></encoder>
  </appender>
  <appender-ref ref="FILE"/>
</configuration>
"#,
        folder.join("log/requests.log").display()
    )
}
