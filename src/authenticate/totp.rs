//! The second factor: TOTP (RFC 6238) by the totp-rs crate. In: an otpauth URL, a code and the signed time.
//! Out: the step that the code belongs to. The secret is wiped when dropped.

use std::time::Duration;

use totp_rs::{Algorithm, Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::limits::TOTP_PERIOD;
use crate::protocol::{Code, Timestamp};

/// A user's TOTP secret with its algorithm, digits and period.
pub struct Factor {
    totp: Totp,
}

impl Factor {
    /// Reads `otpauth://totp/LABEL?secret=BASE32[&algorithm=SHA1|SHA256|SHA512][&digits=6..8][&period=SECONDS]`
    /// (the Key URI Format of Google Authenticator). The label and `issuer` are for the user's phone only.
    ///
    /// # Errors
    ///
    /// What is wrong, without any part of the URL.
    pub fn from_url(url: &str) -> Result<Self, &'static str> {
        let query = url
            .strip_prefix("otpauth://totp/")
            .and_then(|rest| rest.split_once('?'))
            .map(|(_label, query)| query)
            .ok_or("totp is not a URL like otpauth://totp/NAME?secret=BASE32")?;
        let mut builder = Builder::new().with_skew(0);
        let mut secret = None;
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').ok_or("totp: its URL has a parameter without a value")?;
            match key {
                "secret" if secret.is_some() => return Err("totp: its URL has two secrets"),
                "secret" => secret = Some(decode_secret(value)?),
                "algorithm" => {
                    builder = builder.with_algorithm(match value.to_ascii_uppercase().as_str() {
                        "SHA1" => Algorithm::SHA1,
                        "SHA256" => Algorithm::SHA256,
                        "SHA512" => Algorithm::SHA512,
                        _ => return Err("totp: algorithm is SHA1, SHA256 or SHA512"),
                    });
                }
                "digits" => {
                    let digits = value.parse().map_err(|_| "totp: digits is 6, 7 or 8")?;
                    builder = builder.with_digits(digits);
                }
                "period" => {
                    let period = value.parse().ok().filter(|period| (1..=TOTP_PERIOD.as_secs()).contains(period));
                    builder = builder.with_step_duration(period.ok_or("totp: period is 1 to 3600 seconds")?);
                }
                _ => {}
            }
        }
        let secret = secret.ok_or("totp: its URL has no secret")?;
        // `build` requires what RFC 4226 requires: 6 to 8 digits and a secret of 128 bits or more.
        let totp = builder.with_secret(secret).build();
        let totp = totp.map_err(|_| "totp: the secret is at least 128 bits (26 characters), digits are 6 to 8")?;
        Ok(Self { totp })
    }

    /// The step that `code` is of: the one at `time`, else the one before, else the one after.
    pub fn matching_step(&self, code: &Code, time: Timestamp) -> Option<u64> {
        let seconds = u64::try_from(time.seconds()).ok()?;
        let at = seconds / self.totp.step();
        [Some(at), at.checked_sub(1), at.checked_add(1)].into_iter().flatten().find(|step| self.is_code_of(code, *step))
    }

    /// By how many steps the time of `code` is ahead of `time` (behind: negative), the nearest first, up to `reach`.
    pub fn steps_off(&self, code: &Code, time: Timestamp, reach: i64) -> Option<i64> {
        let at = u64::try_from(time.seconds()).ok()? / self.totp.step();
        let near = (0..=reach).flat_map(|off| [off, -off]);
        near.into_iter().find(|off| at.checked_add_signed(*off).is_some_and(|step| self.is_code_of(code, step)))
    }

    /// How long each code is valid.
    pub fn period(&self) -> Duration {
        Duration::from_secs(self.totp.step())
    }

    /// The code at `time`, for a signer that holds the secret; `None` before 1970.
    pub fn code_at(&self, time: Timestamp) -> Option<Code> {
        let seconds = u64::try_from(time.seconds()).ok()?;
        let text = Zeroizing::new(self.totp.generate(seconds).to_string());
        Code::parse(&text)
    }

    /// Compares in constant time (totp-rs's `check` does, within the one step that a skew of 0 allows).
    fn is_code_of(&self, code: &Code, step: u64) -> bool {
        self.totp.check(code.as_str(), step * self.totp.step()) == Some(step)
    }
}

fn decode_secret(base32: &str) -> Result<Secret, &'static str> {
    // Its size is set first, because a text that grows leaves an unwiped copy behind.
    let mut bare = Zeroizing::new(String::with_capacity(base32.len()));
    let unpadded = base32.trim_end_matches("%3D").trim_end_matches('=');
    bare.extend(unpadded.chars().map(|c| c.to_ascii_uppercase()));
    Secret::try_from_base32(bare.as_str()).map_err(|_| "totp: the secret is not base32")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

    fn factor(extra: &str) -> Result<Factor, &'static str> {
        Factor::from_url(&format!("otpauth://totp/berlin:alice?secret={SECRET}{extra}"))
    }

    #[test]
    fn urls_are_read_strictly() {
        for good in ["", "&issuer=x%20y", "&digits=8&period=60", "&algorithm=sha512"] {
            assert!(factor(good).is_ok(), "{good}");
        }
        assert_eq!(factor("&period=60").map(|factor| factor.period()), Ok(Duration::from_mins(1)));
        for bad in ["&digits=9", "&digits=5", "&period=0", "&period=4000", "&algorithm=MD5", "&x"] {
            assert!(factor(bad).is_err(), "{bad}");
        }
        for bad in ["", "otpauth://hotp/x?secret=AAAA", "otpauth://totp/x", "otpauth://totp/x?secret=A1"] {
            assert!(Factor::from_url(bad).is_err(), "{bad}");
        }
        assert!(Factor::from_url("otpauth://totp/x?secret=JBSWY3DP").is_err(), "40 bits are too few");
        assert!(factor(&format!("&secret={SECRET}")).is_err(), "two secrets, each right");
    }

    /// RFC 6238, appendix B: the three algorithms with their own seeds, 8 digits.
    #[test]
    fn the_rfcs_own_values_hold() {
        let seeds = [
            ("SHA1", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "94287082"),
            ("SHA256", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA", "46119246"),
            (
                "SHA512",
                "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA",
                "90693936",
            ),
        ];
        for (algorithm, secret, code) in seeds {
            let url = format!("otpauth://totp/x?secret={secret}&algorithm={algorithm}&digits=8");
            let factor = Factor::from_url(&url).expect(algorithm);
            let code = Code::parse(code).expect("a code");
            assert_eq!(factor.matching_step(&code, Timestamp::from_seconds(59)), Some(1), "{algorithm}");
        }
    }

    #[test]
    fn how_far_off_a_clock_is_and_in_which_direction() {
        let factor = factor("").expect("a factor");
        let at = Timestamp::from_seconds(1_795_428_900);
        let offsets =
            [(0, Some(0)), (600, Some(20)), (-900, Some(-30)), (3600, Some(120)), (3630, None), (-3630, None)];
        for (offset, found) in offsets {
            let code = factor.code_at(Timestamp::from_seconds(at.seconds() + offset)).expect("a code");
            assert_eq!(factor.steps_off(&code, at, 120), found, "{offset}");
        }
    }

    #[test]
    fn one_step_to_each_side_and_no_further() {
        let factor = factor("").expect("a factor");
        let at = Timestamp::from_seconds(1_795_428_900);
        let step = 1_795_428_900 / 30;
        for (offset, found) in [(-60, None), (-30, Some(step - 1)), (0, Some(step)), (30, Some(step + 1)), (60, None)] {
            let code = factor.code_at(Timestamp::from_seconds(at.seconds() + offset)).expect("a code");
            assert_eq!(factor.matching_step(&code, at), found, "{offset}");
        }
        assert!(factor.matching_step(&Code::parse("12345678").expect("a code"), at).is_none());
    }
}
