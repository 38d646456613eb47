//! Whose word is needed, which URLs are fetched, and who is talked to at all.

use std::sync::Arc;

use hotshoe_core::policy::Unsigned;
use hotshoed::{
    artifact::Vouched,
    fetch::{FetchError, FetchRequest, Fetcher, Trust},
};

use crate::{
    Disk, LIMIT, all, content, digest, fetch, granted, quick, request,
    server::{Answer, Server, answer, honest},
};

fn firmware(server: &Server, unsigned: Unsigned) -> FetchRequest {
    FetchRequest { trust: Trust::Firmware(unsigned), ..request(server.url("/a.img?sig=secret")) }
}

/// Serves `/a.img`, and beside it what is given.
async fn with_sidecar(beside: Option<String>) -> Server {
    Server::start(move |request, _| match (request.path.as_str(), &beside) {
        ("/a.img?sig=secret", _) => honest(request, b"image", "\"1\""),
        ("/a.img.sha256?sig=secret", Some(text)) => answer("200 OK", "", text.as_bytes()),
        _ => answer("404 Not Found", "", b"no"),
    })
    .await
}

#[tokio::test]
async fn deny_refuses_before_any_request() {
    let server = with_sidecar(None).await;
    let disk = Disk::new();
    for digest in [None, Some(digest(b"image"))] {
        let wanted = FetchRequest { digest, ..firmware(&server, Unsigned::Deny) };
        let Err(FetchError::Untrusted(text)) = fetch(&disk.store(LIMIT), &server, &wanted).await else {
            panic!()
        };
        assert!(text.contains("firmware.unsigned is \"deny\"") && !text.contains("secret"), "{text}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn digest_takes_the_digest_of_the_request_or_the_one_beside_the_image() {
    let sidecar = with_sidecar(Some(format!("{}  a.img\n", digest(b"image").hex()))).await;
    let artifact =
        fetch(&Disk::new().store(LIMIT), &sidecar, &firmware(&sidecar, Unsigned::Digest)).await.unwrap();
    assert_eq!((artifact.vouched(), artifact.digest()), (Vouched::Sidecar, &digest(b"image")));
    let bare = with_sidecar(None).await;
    let given = FetchRequest { digest: Some(digest(b"image")), ..firmware(&bare, Unsigned::Digest) };
    let artifact = fetch(&Disk::new().store(LIMIT), &bare, &given).await.unwrap();
    assert_eq!((artifact.vouched(), bare.requests().len()), (Vouched::Request, 1));
}

#[tokio::test]
async fn digest_refuses_an_image_that_nothing_vouches_for() {
    let too_long = " ".repeat(5000) + &digest(b"image").hex();
    for beside in [None, Some(String::new()), Some("<html>".into()), Some(too_long)] {
        let server = with_sidecar(beside.clone()).await;
        let result = fetch(&Disk::new().store(LIMIT), &server, &firmware(&server, Unsigned::Digest)).await;
        assert!(matches!(result, Err(FetchError::Untrusted(_))), "{beside:?}: {result:?}");
        assert!(
            server.requests().iter().all(|request| request.path.contains(".sha256")),
            "the image was not asked for"
        );
    }
    let wrong = with_sidecar(Some(digest(b"another").hex())).await;
    let result = fetch(&Disk::new().store(LIMIT), &wrong, &firmware(&wrong, Unsigned::Digest)).await;
    assert!(matches!(result, Err(FetchError::Digest { .. })), "{result:?}");
}

#[tokio::test]
async fn allow_takes_the_bytes_as_served() {
    let server = with_sidecar(None).await;
    let artifact =
        fetch(&Disk::new().store(LIMIT), &server, &firmware(&server, Unsigned::Allow)).await.unwrap();
    assert_eq!((all(&artifact), artifact.vouched()), (b"image".to_vec(), Vouched::Nobody));
}

#[tokio::test]
async fn urls_that_are_not_fetched() {
    let server = with_sidecar(None).await;
    let disk = Disk::new();
    let store = disk.store(LIMIT);
    for url in [
        "http://localhost/a.img",
        "file:///etc/passwd",
        "ftp://localhost/a",
        "https://user:secret@localhost/a",
    ] {
        let result = fetch(&store, &server, &request(url.parse().unwrap())).await;
        let Err(FetchError::InvalidUrl(text)) = result else { panic!("{url}: {result:?}") };
        assert!(!text.contains("secret"), "{text}");
    }
    let result = fetch(&store, &server, &request("https://localhost:1/a.img".parse().unwrap())).await;
    let Err(FetchError::Denied(text)) = result else { panic!("{result:?}") };
    assert!(text.contains("not granted"), "{text}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn strangers_are_not_talked_to() {
    let disk = Disk::new();
    let ours = with_sidecar(None).await;
    let unknown_authority = with_sidecar(None).await;
    let fetcher = Fetcher::new(disk.store(LIMIT), Arc::clone(&ours.roots), quick()).unwrap();
    let url = unknown_authority.url("/a.img");
    let result = fetcher.fetch(&request(url), &granted(&unknown_authority), &|_, _| {}).await;
    let Err(FetchError::Interrupted(text)) = result else { panic!("{result:?}") };
    assert!(text.contains("certificate"), "{text}");
    let wrong_name = Server::start_for("images.example.com", |_, _| answer("200 OK", "", b"x")).await;
    let result = fetch(&disk.store(LIMIT), &wrong_name, &request(wrong_name.url("/a.img"))).await;
    assert!(matches!(result, Err(FetchError::Interrupted(_))), "{result:?}");
    for stranger in [unknown_authority, wrong_name] {
        assert_eq!((stranger.requests().len(), stranger.connections()), (0, 1), "and not asked again");
    }
}

fn redirect(to: &str) -> Answer {
    answer("302 Found", &format!("\r\nLocation: {to}\r\nSet-Cookie: a=b"), b"elsewhere")
}

#[tokio::test]
async fn redirects_are_followed_within_the_grant_only() {
    let stranger = Server::start(|_, _| answer("200 OK", "", b"wrong")).await;
    let (elsewhere, plain) =
        (stranger.url("/x").to_string(), format!("http://localhost:{}/x", stranger.port));
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/elsewhere" => redirect(&elsewhere),
        "/plain" => redirect(&plain),
        "/loop" => redirect("/loop"),
        "/nowhere" => answer("302 Found", "", b""),
        "/three" => redirect("/two"),
        "/two" => redirect("one"),
        "/one" => redirect("/a.img"),
        _ => honest(request, b"image", "\"1\""),
    })
    .await;
    let disk = Disk::new();
    let store = disk.store(LIMIT);
    for path in ["/elsewhere", "/plain", "/loop"] {
        let result = fetch(&store, &server, &request(server.url(path))).await;
        assert!(matches!(result, Err(FetchError::Denied(_))), "{path}: {result:?}");
    }
    assert_eq!(stranger.connections(), 0);
    assert_eq!(
        server.requests().iter().filter(|request| request.path == "/loop").count(),
        4,
        "one and three hops"
    );
    let result = fetch(&store, &server, &request(server.url("/nowhere"))).await;
    assert!(matches!(result, Err(FetchError::Status { status: 302, .. })), "{result:?}");
    let artifact = fetch(&store, &server, &request(server.url("/three"))).await.unwrap();
    assert_eq!((all(&artifact), artifact.origin()), (b"image".to_vec(), server.url("/a.img").as_str()));
    let last = server.requests().pop().unwrap();
    for carried in ["cookie", "referer", "authorization"] {
        assert_eq!(last.header(carried), None);
    }
}

#[tokio::test]
async fn a_file_larger_than_the_store_is_refused_before_its_body() {
    let served = content(1, 3_000_000);
    let server = Server::start(move |request, _| honest(request, &served, "\"1\"")).await;
    let disk = Disk::new();
    let store = disk.store(1_000_000);
    let result = fetch(&store, &server, &request(server.url("/a.img"))).await;
    assert!(
        matches!(result, Err(FetchError::InsufficientSpace { needed: 3_000_000, available: 1_000_000 })),
        "{result:?}"
    );
    assert_eq!(store.usage(), 0);
}
