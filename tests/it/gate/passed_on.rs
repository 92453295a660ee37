//! Socket activation: the port is open while the daemon is not, and who comes then waits.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::support::gated::SOON;
use crate::support::gated_site::GatedSite;
use crate::support::wait::until;

/// Binds the port, says so, waits for a line, and becomes the program, with the socket as systemd passes it on.
const HOLDER: &str = r#"
    use IO::Socket::INET; use POSIX qw(dup2); BEGIN { $^F = 255; }
    my $s = IO::Socket::INET->new(Listen => 64, LocalAddr => "127.0.0.1", LocalPort => shift @ARGV) or die "bind: $!";
    $| = 1; print "bound\n"; <STDIN>;
    dup2(fileno($s), 3); $ENV{LISTEN_FDS} = 1; $ENV{LISTEN_PID} = $$; exec @ARGV or die "exec: $!";
"#;

/// Ended with the test.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_comes_while_the_daemon_is_away_waits_in_the_socket_that_systemd_keeps() {
    if !Command::new("perl").args(["-MIO::Socket::INET", "-e", "1"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: perl, which plays systemd here, is missing");
        return;
    }
    let site = GatedSite::new("", "");
    let _primary = site.site.start_primary();
    site.stage("production", "v1");
    site.site.commit();
    let mut holder = Command::new("perl");
    holder.args([
        "-e",
        HOLDER,
        &site.ports.tls.port().to_string(),
        env!("CARGO_BIN_EXE_sceneshift"),
        "client",
        "--config",
    ]);
    holder.arg(site.write_settings()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut holder = Holder(holder.spawn().unwrap());
    let mut said = String::new();
    BufReader::new(holder.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "bound\n");

    // Nobody takes connections yet. The port could not be bound a second time: it is this socket, or none.
    let waiting = site.ask_catalog("early", "production");
    holder.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let answer = waiting.join().unwrap().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    until("the client runs", SOON, || site.status()?.deployed.map(drop));
}
