//! What is delegated to a role: TUF's path patterns and hash prefixes (specification 4.5).
//!
//! `*`, `?` and `[…]` match within one part of a path and never a `/`. `tough` lets them reach over it; with that a
//! role for `images/acme/*` would own what lies below `images/acme/other/`, which the specification rules out.

use ring::digest::{SHA256, digest};
use tough::schema::PathSet;

/// Whether a target's name is delegated.
pub(super) fn covers(paths: &PathSet, name: &str) -> bool {
    match paths {
        PathSet::Paths(patterns) => patterns.iter().any(|pattern| path_matches(pattern.value(), name)),
        PathSet::PathHashPrefixes(prefixes) => {
            let hash: String =
                digest(&SHA256, name.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            prefixes
                .iter()
                .any(|prefix| !prefix.value().is_empty() && hash.starts_with(&prefix.value().to_lowercase()))
        }
    }
}

/// Whether some name below this folder (`plugins/acme.pump`) may be delegated.
pub(super) fn may_cover_below(paths: &PathSet, folder: &str) -> bool {
    match paths {
        PathSet::Paths(patterns) => patterns.iter().any(|pattern| {
            let pattern: Vec<&str> = pattern.value().split('/').collect();
            let folder: Vec<&str> = folder.split('/').collect();
            pattern.len() > folder.len()
                && folder.iter().zip(&pattern).all(|(part, pattern)| part_matches(pattern, part))
        }),
        PathSet::PathHashPrefixes(_) => true,
    }
}

fn path_matches(pattern: &str, name: &str) -> bool {
    pattern.split('/').count() == name.split('/').count()
        && pattern.split('/').zip(name.split('/')).all(|(pattern, part)| part_matches(pattern, part))
}

/// One part against one part's pattern. Goes back at most to the last `*`, so that no pattern is slow.
fn part_matches(pattern: &str, part: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let part: Vec<char> = part.chars().collect();
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&letter) = part.get(read) {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, read));
            at += 1;
            continue;
        }
        if let Some(next) = one(&pattern, at, letter) {
            (at, read) = (next, read + 1);
            continue;
        }
        let Some((of_star, from)) = star else { return false };
        star = Some((of_star, from + 1));
        (at, read) = (of_star + 1, from + 1);
    }
    pattern.get(at..).unwrap_or_default().iter().all(|rest| *rest == '*')
}

/// Where the pattern goes on if its next element takes this letter.
fn one(pattern: &[char], at: usize, letter: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => match set(pattern, at + 1, letter) {
            Some((true, next)) => Some(next),
            Some((false, _)) => None,
            // A bracket that never closes is a letter.
            None => (letter == '[').then_some(at + 1),
        },
        plain => (*plain == letter).then_some(at + 1),
    }
}

/// `[abc]`, `[a-c]`, `[!a]`: whether the letter is in it, and what comes after it.
fn set(pattern: &[char], start: usize, letter: char) -> Option<(bool, usize)> {
    let negated = pattern.get(start) == Some(&'!');
    let first = if negated { start + 1 } else { start };
    // A bracket that stands first is one of the set.
    let close = pattern.iter().skip(first + 1).position(|letter| *letter == ']')? + first + 1;
    let members = pattern.get(first..close)?;
    let mut found = false;
    let mut index = 0;
    while let Some(&low) = members.get(index) {
        match (members.get(index + 1), members.get(index + 2)) {
            (Some('-'), Some(&high)) => {
                found |= (low..=high).contains(&letter);
                index += 3;
            }
            _ => {
                found |= low == letter;
                index += 1;
            }
        }
    }
    Some((found != negated, close + 1))
}

#[cfg(test)]
mod tests {
    use tough::schema::{PathHashPrefix, PathPattern};

    use super::*;

    #[test]
    fn patterns_keep_to_their_part_of_the_path() {
        for (pattern, name, expected) in [
            ("plugins/acme.*/*", "plugins/acme.pump/1.2.0.wasm", true),
            ("plugins/acme.*/*", "plugins/acmeevil/1.2.0.wasm", false),
            ("plugins/acme.*", "plugins/acme.pump/1.2.0.wasm", false),
            ("images/acme/*", "images/acme/fw.img", true),
            ("images/acme/*", "images/acme/", true),
            ("images/acme/*", "images/acme", false),
            ("images/acme/*", "images/acme/x/fw.img", false),
            ("images/acme/*", "images/acme2/fw.img", false),
            ("*.tgz", "foo.tgz", true),
            ("*.tgz", "targets/foo.tgz", false),
            ("foo-version-?.tgz", "foo-version-2.tgz", true),
            ("foo-version-?.tgz", "foo-version-alpha.tgz", false),
            ("a*b*c", "abbc", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYb", false),
            ("*", "", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[]]", "]", true),
            ("[x", "[x", true),
            ("README.md", "README.MD", false),
            ("?", "é", true),
        ] {
            assert_eq!(path_matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!path_matches(&"*a".repeat(500), &"a".repeat(400)), "and it takes no time");
    }

    #[test]
    fn folders_and_hash_prefixes() {
        let paths = PathSet::Paths(vec![PathPattern::new("plugins/acme.*/*").unwrap()]);
        assert!(may_cover_below(&paths, "plugins/acme.pump"));
        assert!(!may_cover_below(&paths, "plugins/other.pump"));
        let all = digest(&SHA256, b"images/a").as_ref()[0];
        let prefix = |text: String| PathSet::PathHashPrefixes(vec![PathHashPrefix::new(text).unwrap()]);
        assert!(covers(&prefix(format!("{all:02x}")), "images/a"));
        assert!(!covers(&prefix(format!("{:02x}", all ^ 1)), "images/a"));
        assert!(!covers(&prefix(String::new()), "images/a"));
    }
}
