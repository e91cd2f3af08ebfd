//! What a phone reads off a terminal, and fingerprints as users compare them.

use anyhow::{Context, Result};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// Prints `text` as a QR code.
pub(super) fn show(text: &str) -> Result<()> {
    let code = QrCode::new(text).context("it does not fit into a QR code")?;
    outln!("{}", code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())?;
    Ok(())
}

/// A fingerprint, four digits at a time.
pub(super) fn grouped(fingerprint: &str) -> String {
    let digits: Vec<char> = fingerprint.chars().collect();
    digits.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}
