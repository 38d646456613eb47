//! Where names lead, asked at the time of each connection and checked then.
//!
//! What is checked is what is connected to: an answer that was fine a moment ago says nothing about the next one
//! (rebinding), and one bad address among good ones denies them all, since a client goes on to the next. An address that a
//! URL names outright never comes here: the grant speaks of it.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use hotshoe_core::reach::Reach;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's resolver, and what may be made of its answers.
pub(super) struct Resolver {
    pub(super) reach: Arc<Reach>,
    pub(super) lookup: Lookup,
}

/// A name leads where none may.
#[derive(Debug)]
struct Forbidden(String);

impl fmt::Display for Forbidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for Forbidden {}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, found) = (Arc::clone(&self.reach), (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let addresses = found.await?;
            reach.check(name.as_str(), &addresses).map_err(Forbidden)?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// What the system says.
pub(super) fn of_the_system() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Whether an error is that a name leads where none may, and why not.
pub(super) fn forbidden<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(Forbidden(why)) = error.downcast_ref() {
            return Some(why);
        }
        next = error.source();
    }
    None
}
