//! What a request's address says: the names in its path and the parameters behind it.
//!
//! axum's own extractors answer what they cannot read in plain text, from which no IoT Hub client reads anything.
//! These refuse as every other endpoint does, with [`Fault::ArgumentInvalid`].

use axum::extract::{FromRequestParts, Path as AxumPath, Query as AxumQuery};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::fault::Fault;

/// The most that a listing gives, and what it gives when it is not told.
const MOST: usize = 1000;

/// The names in the path, unescaped.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let read = AxumPath::from_request_parts(parts, state).await;
        read.map(|AxumPath(names)| Self(names))
            .map_err(|error| Fault::ArgumentInvalid(format!("the path: {}", error.body_text())))
    }
}

/// The parameters behind the `?`, of which there may be more than are read.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        AxumQuery::try_from_uri(&parts.uri)
            .map(|AxumQuery(parameters)| Self(parameters))
            .map_err(|error| Fault::ArgumentInvalid(format!("the query: {}", error.body_text())))
    }
}

/// How much of a listing is wanted.
#[derive(Deserialize)]
pub(super) struct Listing {
    /// `top`: 1 to 1,000.
    #[serde(default)]
    pub(super) top: Top,
}

/// A number of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Top(pub(super) usize);

impl Default for Top {
    fn default() -> Self {
        Self(MOST)
    }
}

impl TryFrom<String> for Top {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
        number.map(Self).ok_or_else(|| format!("top is 1 to {MOST}, not {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn top(query: &str) -> Result<usize, Fault> {
        let request = axum::http::Request::get(format!("/devices/?{query}")).body(()).unwrap();
        let listing = Query::<Listing>::from_request_parts(&mut request.into_parts().0, &()).await;
        listing.map(|Query(listing)| listing.top.0)
    }

    #[tokio::test]
    async fn a_listing_is_of_one_to_a_thousand_and_anything_else_is_refused_by_its_name() {
        assert_eq!(top("api-version=2021-04-12").await.unwrap(), 1000);
        assert_eq!(top("top=1&api-version=2021-04-12").await.unwrap(), 1);
        assert_eq!(top("top=1000").await.unwrap(), 1000);
        for wrong in ["", "0", "1001", "-1", "abc", "1%002"] {
            let fault = top(&format!("top={wrong}")).await.unwrap_err();
            assert_eq!(fault.name(), "ArgumentInvalid", "{wrong}");
            assert!(fault.to_string().contains("top is 1 to 1000"), "{fault}");
        }
    }
}
