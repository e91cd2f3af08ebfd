//! The page as a web app: what a web server serves, so that a phone can install it and open it without the network.

use sha2::{Digest, Sha256};

/// One file of the served page.
#[derive(Debug)]
pub struct ServedFile {
    /// Its name in the folder.
    pub name: &'static str,
    /// Its content.
    pub content: String,
}

/// The policy of a page that stands alone, and what it is for a served one.
const ALONE: &str = "img-src data:; manifest-src 'none'; worker-src 'none'";
/// The icon of the manifest is an image of the page.
const SERVED: &str = "img-src data: 'self'; manifest-src 'self'; worker-src 'self'";

/// Where the link to the manifest goes.
const LINK_PLACE: &str = "<!--served-->";
const LINK: &str = r#"<link rel="manifest" href="manifest.webmanifest">"#;

/// The worker, without its version.
const WORKER: &str = include_str!("../../page/sw.js");
const VERSION_PLACE: &str = "@VERSION@";

const ICON: &str = include_str!("../../page/icon.svg");

/// The files for a page that `html` is. The worker's version is a hash of the page, so a changed page replaces the
/// stored one.
pub fn served(html: &str, gateway: &str) -> Vec<ServedFile> {
    let index = html.replacen(ALONE, SERVED, 1).replacen(LINK_PLACE, LINK, 1);
    let mut version = hex::encode(Sha256::digest(&index));
    version.truncate(16);
    let manifest = serde_json::json!({
        "name": format!("mailsudo {gateway}"),
        "short_name": gateway,
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#f4f5f7",
        "theme_color": "#f4f5f7",
        "icons": [{ "src": "icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any" }],
        // A mail's text, from the share sheet. The worker takes it; the server gets nothing of it.
        "share_target": {
            "action": "./share", "method": "POST", "enctype": "multipart/form-data", "params": { "text": "text" }
        },
    });
    vec![
        ServedFile { name: "index.html", content: index },
        ServedFile { name: "manifest.webmanifest", content: format!("{manifest:#}\n") },
        ServedFile { name: "sw.js", content: WORKER.replacen(VERSION_PLACE, &version, 1) },
        ServedFile { name: "icon.svg", content: ICON.to_owned() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_served_page_has_its_policy_and_its_manifest() {
        let files = served(super::super::HTML, "berlin");
        let index = &files.first().expect("a page").content;
        assert!(index.contains(SERVED) && index.contains(LINK) && !index.contains(ALONE));
        let worker = &files.iter().find(|file| file.name == "sw.js").expect("a worker").content;
        assert!(!worker.contains(VERSION_PLACE));
        let other = served(&format!("{}x", super::super::HTML), "berlin");
        assert_ne!(worker, &other.iter().find(|file| file.name == "sw.js").expect("a worker").content);
    }
}
