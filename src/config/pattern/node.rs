//! What a pattern can match, exactly: sets of characters, sequences, alternatives and repetitions of them.

/// A set of ASCII characters, bit N for character N.
pub(super) type Set = u128;

/// A part of a pattern.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Characters(Set),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Repeat(Box<Node>, u32, Option<u32>),
}

impl Node {
    pub(super) fn may_be_empty(&self) -> bool {
        match self {
            Self::Characters(_) => false,
            Self::Sequence(nodes) => nodes.iter().all(Self::may_be_empty),
            Self::Choice(nodes) => nodes.iter().any(Self::may_be_empty),
            Self::Repeat(node, least, _) => *least == 0 || node.may_be_empty(),
        }
    }

    /// The characters with which a match may begin.
    pub(super) fn first(&self) -> Set {
        match self {
            Self::Characters(set) => *set,
            Self::Choice(nodes) => nodes.iter().fold(0, |set, node| set | node.first()),
            Self::Repeat(node, ..) => node.first(),
            Self::Sequence(nodes) => {
                let mut set = 0;
                for node in nodes {
                    set |= node.first();
                    if !node.may_be_empty() {
                        break;
                    }
                }
                set
            }
        }
    }

    pub(super) fn sample(&self, sample: &mut String) {
        match self {
            // From the highest, so that a class of letters and signs gives a letter.
            Self::Characters(set) => sample.extend((b'!'..=b'z').rev().find(|b| set & 1 << b != 0).map(char::from)),
            Self::Sequence(nodes) => nodes.iter().for_each(|node| node.sample(sample)),
            Self::Choice(nodes) => nodes.iter().take(1).for_each(|node| node.sample(sample)),
            Self::Repeat(node, least, _) => (0..*least).for_each(|_| node.sample(sample)),
        }
    }
}
