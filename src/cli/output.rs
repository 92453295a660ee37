//! Text for people: tables, sizes, times; and the two ways out, standard output and standard error.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::error::CliError;
use crate::values::CommitId;

/// How many of the paths that an error is about are shown.
const MOST_PATHS: usize = 20;

/// Prints the answer.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    out.write_all(text.as_bytes()).and_then(|()| out.write_all(end.as_bytes())).map_err(CliError::Output)?;
    out.flush().map_err(CliError::Output)
}

/// Prints the answer: as JSON where that was asked for, else as text.
pub(super) fn answer<T: Serialize>(json: bool, value: &T, text: impl FnOnce() -> String) -> Result<(), CliError> {
    if json {
        let document = serde_json::to_string_pretty(value).map_err(|error| CliError::Output(error.into()))?;
        print(&document)
    } else {
        print(&text())
    }
}

/// Says on standard error what did not work. Where even that cannot be written there is nobody to tell.
pub(super) fn complain(error: &CliError) {
    let mut text = format!("sceneshift: error: {}", chain(error));
    let paths = error.paths();
    for path in paths.iter().take(MOST_PATHS) {
        let _ = write!(text, "\n  {}", plain(path));
    }
    if paths.len() > MOST_PATHS {
        let _ = write!(text, "\n  and {} more", paths.len() - MOST_PATHS);
    }
    if let Some(hint) = error.hint() {
        let _ = write!(text, "\nhint: {hint}");
    }
    note(&text);
}

/// Warns on standard error.
pub(super) fn warn(text: &str) {
    note(&format!("sceneshift: warning: {}", plain(text)));
}

/// Writes a line to standard error.
pub(super) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = lines(&error.to_string());
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let _ = write!(text, ": {}", lines(&deeper.to_string()));
        cause = deeper.source();
    }
    text
}

/// Without what could spoil a terminal: control characters are escaped, line ends too.
pub(super) fn plain(text: &str) -> String {
    escape(text, |_| false)
}

/// Likewise, but lines stay lines.
pub(super) fn lines(text: &str) -> String {
    escape(text, |character| character == '\n')
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !keep(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// 97012 as "97,012".
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// "1 file", "2 files".
pub(super) fn count(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", number(count), if count == 1 { "" } else { "s" })
}

/// 251763712 as "240.1 MiB".
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1023.95 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// A span as people say it: "250 µs", "1.2 ms", "0.41 s", "12 s", "3 min 5 s".
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1_000_000.0)
    } else if seconds < 0.1 {
        format!("{:.1} ms", seconds * 1000.0)
    } else if seconds < 10.0 {
        format!("{seconds:.2} s")
    } else if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{} min {} s", seconds as u64 / 60, seconds as u64 % 60)
    }
}

/// How long ago that was, as people say it; what is no time is given back as it is.
pub(super) fn ago(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(then) => match now.as_second() - then.as_second() {
            0 => "just now".to_owned(),
            past if past > 0 => format!("{} ago", span(past)),
            // Another machine's clock is ahead.
            future => format!("in {}", span(-future)),
        },
        Err(_) => plain(time),
    }
}

/// A number of seconds in its largest unit.
pub(super) fn span(seconds: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| seconds >= *unit).unwrap_or((1, "second"));
    let amount = seconds / unit;
    format!("{amount} {name}{}", if amount == 1 { "" } else { "s" })
}

/// A commit for people: "3f2a9c1d0b77 (#12)".
pub(super) fn commit(id: CommitId, sequence: Option<u64>) -> String {
    match sequence {
        Some(sequence) => format!("{} (#{sequence})", id.short()),
        None => id.short(),
    }
}

/// The first line of a message.
pub(super) fn headline(message: &str) -> String {
    plain(message.trim_start().lines().next().unwrap_or(""))
}

/// Rows under headings, aligned.
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
    right: [bool; N],
}

impl<const N: usize> Table<N> {
    /// With these headings; one that begins with `>` is of a column aligned to the right.
    pub(super) fn new(headings: [&str; N]) -> Self {
        let right = headings.map(|heading| heading.starts_with('>'));
        Self { rows: vec![headings.map(|heading| heading.trim_start_matches('>').to_owned())], right }
    }

    /// Without headings.
    pub(super) fn plain(right: [bool; N]) -> Self {
        Self { rows: Vec::new(), right }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> std::fmt::Display for Table<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; N] = std::array::from_fn(width);
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column] - cell.chars().count());
                let gap = if column + 1 < N { "  " } else { "" };
                if self.right[column] {
                    line.extend([&pad, cell.as_str(), gap]);
                } else {
                    line.extend([cell.as_str(), &pad, gap]);
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_numbers_and_spans_read_well_at_their_borders() {
        assert_eq!(
            [0, 1023, 1024, 1_048_575, 251_763_712, u64::MAX].map(size).join(" | "),
            "0 B | 1023 B | 1.0 KiB | 1.0 MiB | 240.1 MiB | 16384.0 PiB"
        );
        assert_eq!([0, 999, 1000, 97_012, 1_000_000].map(number).join(" "), "0 999 1,000 97,012 1,000,000");
        assert_eq!(
            [0, 1, 59, 60, 7199, 86_400].map(span).join(", "),
            "0 seconds, 1 second, 59 seconds, 1 minute, 1 hour, 1 day"
        );
        assert_eq!(
            [0.00025, 0.0014, 0.41, 12.3, 185.0].map(seconds).join(", "),
            "250 µs, 1.4 ms, 0.41 s, 12 s, 3 min 5 s"
        );
    }

    #[test]
    fn times_are_told_from_now_and_a_clock_that_is_ahead_is_no_trouble() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        assert_eq!(ago("2026-11-24T11:55:00Z", now), "5 minutes ago");
        assert_eq!(ago("2026-11-24T12:00:00.4Z", now), "just now");
        assert_eq!(ago("2026-11-24T12:00:30Z", now), "in 30 seconds");
        assert_eq!(ago("never\x1b[2J", now), "never\\u{1b}[2J");
    }

    #[test]
    fn columns_line_up_and_lines_do_not_trail_spaces() {
        let mut table = Table::new(["NAME", ">SIZE", "NOTE"]);
        table.row(["ä".into(), "10".into(), String::new()]);
        table.row(["longer".into(), "9".into(), "x".into()]);
        assert_eq!(table.to_string(), "NAME    SIZE  NOTE\nä         10\nlonger     9  x\n");
    }

    #[test]
    fn nothing_that_came_from_elsewhere_reaches_a_terminal_raw() {
        assert_eq!(plain("a\x1b]0;x\x07\nb"), "a\\u{1b}]0;x\\u{7}\\nb");
        assert_eq!(lines("a\r\nb\x1b"), "a\\r\nb\\u{1b}");
        assert_eq!(headline("\n first\nsecond"), "first");
    }

    #[test]
    fn an_error_is_told_with_all_its_causes() {
        let inner = std::io::Error::other("the disk is on fire");
        assert_eq!(chain(&CliError::Output(inner)), "cannot write the answer to standard output: the disk is on fire");
    }
}
