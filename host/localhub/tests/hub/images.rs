//! Downloading images: whole, in parts, resumed.

use std::fs;

use reqwest::{Method, Response};

use crate::client::Place;

async fn get(place: &Place, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = place.https().request(method, place.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn content() -> Vec<u8> {
    (0..3_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[tokio::test]
async fn an_image_comes_whole_and_in_parts() {
    let place = Place::new().await;
    let content = content();
    fs::create_dir(place.directory.path().join("images/v2")).unwrap();
    fs::write(place.directory.path().join("images/v2/image.bin"), &content).unwrap();
    let path = "/images/v2/image.bin";

    let whole = get(&place, Method::GET, path, &[]).await;
    assert_eq!(
        (whole.status().as_u16(), &whole.headers()["accept-ranges"]),
        (200, &"bytes".parse().unwrap())
    );
    let tag = whole.headers()["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"'), "{tag} is not strong");
    assert!(whole.bytes().await.unwrap() == content);

    let head = get(&place, Method::HEAD, path, &[]).await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &"3000000".parse().unwrap())
    );

    for (range, first, last) in
        [("bytes=0-0", 0, 0), ("bytes=2999990-", 2_999_990, 2_999_999), ("bytes=-5", 2_999_995, 2_999_999)]
    {
        let part = get(&place, Method::GET, path, &[("range", range), ("if-range", &tag)]).await;
        assert_eq!(part.status(), 206);
        assert_eq!(part.headers()["content-range"], format!("bytes {first}-{last}/3000000"));
        assert!(part.bytes().await.unwrap() == content[first..=last]);
    }
    let beyond = get(&place, Method::GET, path, &[("range", "bytes=3000000-")]).await;
    assert_eq!(
        (beyond.status().as_u16(), &beyond.headers()["content-range"]),
        (416, &"bytes */3000000".parse().unwrap())
    );
    let known = get(&place, Method::GET, path, &[("if-none-match", &tag)]).await;
    assert_eq!(known.status(), 304);
}

#[tokio::test]
async fn a_replaced_image_is_not_resumed() {
    let place = Place::new().await;
    let file = place.directory.path().join("images/image.bin");
    fs::write(&file, "the first").unwrap();
    let tag = get(&place, Method::GET, "/images/image.bin", &[]).await.headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    fs::write(place.directory.path().join("images/next"), "another 1").unwrap();
    fs::rename(place.directory.path().join("images/next"), &file).unwrap();
    for validator in [tag.as_str(), "Wed, 21 Oct 2015 07:28:00 GMT"] {
        let answer =
            get(&place, Method::GET, "/images/image.bin", &[("range", "bytes=4-"), ("if-range", validator)])
                .await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), "another 1");
    }
}

#[tokio::test]
async fn nothing_outside_the_directory_is_served() {
    let place = Place::new().await;
    fs::write(place.directory.path().join("secret"), "s").unwrap();
    fs::write(place.directory.path().join("images/.hidden"), "s").unwrap();
    fs::create_dir(place.directory.path().join("images/directory")).unwrap();
    for path in [
        "/images/%2e%2e/secret",
        "/images/..%2fsecret",
        "/images/.hidden",
        "/images/directory",
        "/images/missing",
        "/images/%00",
        "/images//etc/passwd",
    ] {
        assert_eq!(get(&place, Method::GET, path, &[]).await.status(), 404, "{path}");
    }
    assert_eq!(get(&place, Method::POST, "/images/missing", &[]).await.status(), 405);
}

#[tokio::test]
async fn what_was_sent_is_told_to_the_owner() {
    let place = Place::new().await;
    fs::write(place.directory.path().join("images/image.bin"), content()).unwrap();
    for range in ["bytes=0-999999", "bytes=1000000-"] {
        let part = get(&place, Method::GET, "/images/image.bin", &[("range", range)]).await;
        part.bytes().await.unwrap();
    }
    let (status, told) = place.rest(Method::GET, "/localhub/images", None).await;
    let part = |first: u64, length: u64| serde_json::json!({ "path": "image.bin", "status": 206, "first": first, "length": length, "sent": length });
    assert_eq!(status, 200);
    assert_eq!(told, serde_json::json!([part(0, 1_000_000), part(1_000_000, 2_000_000)]));
    assert_eq!(get(&place, Method::GET, "/localhub/images", &[]).await.status(), 401);
}
