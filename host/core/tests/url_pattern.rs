//! What URL patterns cover and what is none, as tables.

use hotshoe_core::grants::UrlPattern;
use url::Url;

fn cases(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn what_patterns_cover() {
    for case in cases(include_str!("cases/url-pattern.txt")) {
        let (expected, rest) = case.split_once(' ').unwrap();
        let (pattern, url) = rest.trim().split_once(' ').unwrap();
        let pattern: UrlPattern = pattern.parse().unwrap_or_else(|error| panic!("{case}: {error}"));
        let url = Url::parse(url.trim()).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(pattern.matches(&url), expected == "yes", "{case}");
        let again: UrlPattern = pattern.to_string().parse().unwrap();
        assert_eq!(again, pattern, "{case}: what is shown can be written");
    }
}

#[test]
fn what_is_not_a_pattern() {
    for case in cases(include_str!("cases/url-pattern-refused.txt")) {
        let (pattern, expected) = case.split_once(" -- ").unwrap();
        let error =
            pattern.parse::<UrlPattern>().map(|pattern| pattern.to_string()).expect_err(case).to_string();
        assert!(error.contains(expected), "{case}: {error}");
    }
}

/// Over all pairs of patterns and all URLs of the table: a URL is within the intersection exactly when it is within both.
#[test]
fn an_intersection_is_what_both_cover() {
    let mut patterns: Vec<UrlPattern> = Vec::new();
    let mut urls = Vec::new();
    for case in cases(include_str!("cases/url-pattern.txt")) {
        let (_, rest) = case.split_once(' ').unwrap();
        let (pattern, url) = rest.trim().split_once(' ').unwrap();
        patterns.push(pattern.parse().unwrap());
        urls.push(Url::parse(url.trim()).unwrap());
    }
    for text in [
        "https://h/images/v1",
        "https://h/ima*",
        "https://h/images/v1.2/",
        "https://*:443/images/",
        "https://*.com/",
    ] {
        patterns.push(text.parse().unwrap());
    }
    for one in &patterns {
        for two in &patterns {
            let both = one.intersection(two);
            assert_eq!(both, two.intersection(one), "{one} and {two}");
            for url in &urls {
                let expected = one.matches(url) && two.matches(url);
                assert_eq!(
                    both.as_ref().is_some_and(|both| both.matches(url)),
                    expected,
                    "{one} and {two} for {url}"
                );
            }
        }
    }
}
