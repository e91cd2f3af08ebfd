//! The block that ends a notice: what an approver is asked about, signed under that approver's own key. In: the
//! question and the text above the block; or a notice as it arrived. Out: a block; or what a reader may conclude.

use super::block::{Block, Kind, line};
use super::mac::{Key, RequestId};
use super::name::{CommandName, GatewayName, UserName};
use super::reply::{CheckedText, SignedBlock, check, text_hash};
use super::run_digest::RunDigest;
use super::time::Timestamp;

/// A notice's block before it is signed, or after its mac was found to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeBlock {
    /// The gateway that asks.
    pub gateway: GatewayName,
    /// The approver whom this notice is for.
    pub user: UserName,
    /// The request.
    pub request: RequestId,
    /// Its user.
    pub from: UserName,
    /// Its command.
    pub command: CommandName,
    /// What would run, exactly.
    pub digest: RunDigest,
    /// The last moment to approve.
    pub until: Timestamp,
}

impl NoticeBlock {
    /// Writes and signs the block that goes below `text`, each line ended by LF.
    pub fn sign(&self, text: &str, key: &Key) -> String {
        let mut block = line(Kind::Notice.start_key(), "1");
        block += &line("gateway", self.gateway.as_str());
        block += &line("user", self.user.as_str());
        block += &line("request", &self.request.to_string());
        block += &line("from", self.from.as_str());
        block += &line("command", self.command.as_str());
        block += &line("digest", &self.digest.to_string());
        block += &line("until", &self.until.to_string());
        block += &line("output", &text_hash(text));
        let mac = key.sign(block.as_bytes()).to_hex();
        block += &line("mac", &mac);
        block
    }
}

/// Checks a notice's text under the approver's key, as [`check_reply`](super::check_reply) checks a reply's.
pub fn check_notice<'t>(text: &'t str, key: &Key) -> CheckedText<'t, NoticeBlock> {
    check(text, key)
}

impl SignedBlock for NoticeBlock {
    const KIND: Kind = Kind::Notice;

    fn read(block: &Block<'_>) -> Option<(Self, String)> {
        let keys = ["gateway", "user", "request", "from", "command", "digest", "until", "output"];
        if !block.fields.iter().map(|(key, _)| key.as_ref()).eq(keys) {
            return None;
        }
        let mut values = block.fields.iter().map(|(_, value)| *value);
        let read = Self {
            gateway: GatewayName::try_from(values.next()?).ok()?,
            user: UserName::try_from(values.next()?).ok()?,
            request: RequestId::from_hex(values.next()?)?,
            from: UserName::try_from(values.next()?).ok()?,
            command: CommandName::try_from(values.next()?).ok()?,
            digest: RunDigest::parse(values.next()?)?,
            until: Timestamp::parse(values.next()?)?,
        };
        Some((read, values.next()?.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Verdict, check_reply};

    #[test]
    fn a_notice_is_no_reply_and_holds_under_one_key() {
        let key = |byte: &str| Key::from_hex(&byte.repeat(32)).expect("a key");
        let block = NoticeBlock {
            gateway: GatewayName::try_from("berlin").expect("a name"),
            user: UserName::try_from("carol").expect("a name"),
            request: RequestId::from_bytes([1; 32]),
            from: UserName::try_from("alice").expect("a name"),
            command: CommandName::try_from("restart").expect("a name"),
            digest: RunDigest::from_bytes([2; 32]),
            until: Timestamp::from_seconds(1_795_428_900),
        };
        let text = "please\n";
        let notice = format!("{text}{}", block.sign(text, &key("07")));
        let verdict = |text: &str, byte: &str| -> Verdict<NoticeBlock> {
            let CheckedText { verdict, .. } = check_notice(text, &key(byte));
            verdict
        };
        assert_eq!(verdict(&notice, "07"), Verdict::Genuine(block.clone()));
        assert_eq!(verdict(&notice.replace("please", "quickly"), "07"), Verdict::Altered(block));
        assert_eq!(verdict(&notice.replace("from: alice", "from: eve"), "07"), Verdict::NotGenuine);
        assert_eq!(verdict(&notice, "08"), Verdict::NotGenuine);
        assert_eq!(check_reply(&notice, &key("07")).verdict, Verdict::NotGenuine);
    }
}
