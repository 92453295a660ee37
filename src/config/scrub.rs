//! How much of what is stored a daemon reads again each day, in the background.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// The section `[scrub]` of both daemons.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScrubConfig {
    /// The share, 1 being all; 0 for no scrub.
    #[serde(default = "default_share", deserialize_with = "share")]
    pub per_day: f64,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self { per_day: default_share() }
    }
}

impl ScrubConfig {
    /// How long it takes until everything was read again; `None` where nothing is to be.
    pub fn pass(&self) -> Option<Duration> {
        (self.per_day > 0.0).then(|| Duration::from_secs_f64(24.0 * 3600.0 / self.per_day))
    }
}

fn default_share() -> f64 {
    0.1
}

/// Less would take more than 27 years for one pass, which no disk lives.
const LEAST: f64 = 0.0001;

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" {
        return Ok(0.0);
    }
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match percent.map(|percent| percent / 100.0) {
        Some(share) if share == 0.0 || (share.is_finite() && share >= LEAST) => Ok(share),
        _ => Err(serde::de::Error::custom(format!(
            "{text:?} is not a share of what is stored; write it like \"10%\", which reads everything again in ten days, or \"off\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ScrubConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_share_is_written_in_percent_and_a_pass_takes_as_long_as_it_says() {
        let days = |text| read(text).unwrap().pass().map(|pass| pass.as_secs() / 86_400);
        assert_eq!(days(""), Some(10), "on, and cheap, where nothing is said");
        assert_eq!(days("per-day = \"100%\""), Some(1));
        assert_eq!(days("per-day = \"2.5 %\""), Some(40));
        assert_eq!((days("per-day = \"off\""), days("per-day = \"0%\"")), (None, None));
        for wrong in ["10", "ten%", "-5%", "NaN%", "inf%", "0.000001%", ""] {
            let error = read(&format!("per-day = {wrong:?}")).unwrap_err();
            assert!(error.contains("write it like \"10%\""), "{wrong}: {error}");
        }
    }
}
