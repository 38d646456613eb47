//! Where names may lead.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hotshoe_core::reach::Reach;
use hotshoed::fetch::{FetchError, FetchSettings, Fetcher, Lookup};
use url::Url;

use super::{
    Disk, LIMIT, quick, request,
    server::{Server, answer},
};

const NAME: &str = "images.example.com";

/// A resolver that has one answer after the other, and the last one for ever.
fn answers(answers: &'static [&'static [&'static str]]) -> Lookup {
    let asked = AtomicUsize::new(0);
    Arc::new(move |_| {
        let turn = asked.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        let found: Vec<IpAddr> = answers[turn].iter().map(|address| address.parse().unwrap()).collect();
        Box::pin(async move { Ok(found) })
    })
}

struct World {
    server: Server,
    disk: Disk,
}

impl World {
    async fn new() -> Self {
        let server =
            Server::start_for(NAME, |_, _| answer("200 OK", "\r\nConnection: close", b"firmware")).await;
        Self { server, disk: Disk::new() }
    }

    fn fetcher(&self, lookup: Lookup, reach: Reach) -> Fetcher {
        let settings = FetchSettings { lookup: Some(lookup), reach: Arc::new(reach), ..quick() };
        Fetcher::new(self.disk.store(LIMIT), Arc::clone(&self.server.roots), settings).unwrap()
    }

    async fn fetch(&self, fetcher: &Fetcher, file: &str) -> Result<u64, FetchError> {
        let url: Url = format!("https://{NAME}:{}/{file}", self.server.port).parse().unwrap();
        let fetched = fetcher.fetch(&request(url), &|_: &Url| Ok(()), &|_, _| ()).await;
        fetched.map(|artifact| artifact.size())
    }
}

fn private(range: &str) -> Reach {
    Reach { private: vec![range.parse().unwrap()], ..Reach::default() }
}

#[tokio::test]
async fn a_granted_name_that_leads_to_the_device_itself_is_denied_and_nothing_connects() {
    let world = World::new().await;
    const PLAIN: &[&[&str]] = &[&["127.0.0.1"]];
    const MAPPED: &[&[&str]] = &[&["::ffff:127.0.0.1"]];
    const MIXED: &[&[&str]] = &[&["8.8.8.8", "127.0.0.1"]];
    for lookup in [PLAIN, MAPPED, MIXED] {
        let fetcher = world.fetcher(answers(lookup), Reach::default());
        let error = world.fetch(&fetcher, "a").await.unwrap_err();
        let FetchError::Denied(text) = error else { panic!("{error}") };
        assert!(
            text.contains("images.example.com leads to") && text.contains("[download] private"),
            "{text}"
        );
    }
    assert_eq!(world.server.connections(), 0);
}

#[tokio::test]
async fn what_the_policy_lists_is_reached() {
    let world = World::new().await;
    let fetcher = world.fetcher(answers(&[&["127.0.0.1"]]), private("127.0.0.0/8"));
    assert_eq!(world.fetch(&fetcher, "a").await.unwrap(), 8);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_the_second_time_is_denied_then() {
    let world = World::new().await;
    let lookup = answers(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let fetcher = world.fetcher(lookup, private("127.0.0.1/32"));
    assert_eq!(world.fetch(&fetcher, "a").await.unwrap(), 8);
    let error = world.fetch(&fetcher, "b").await.unwrap_err();
    assert!(matches!(&error, FetchError::Denied(text) if text.contains("169.254.169.254")), "{error}");
    assert_eq!(world.server.connections(), 1);
}

#[tokio::test]
async fn a_repository_of_the_operators_leads_where_it_leads() {
    let world = World::new().await;
    let own = Reach { own: [NAME.to_owned()].into(), ..Reach::default() };
    let fetcher = world.fetcher(answers(&[&["127.0.0.1"]]), own);
    assert_eq!(world.fetch(&fetcher, "a").await.unwrap(), 8);
}
