//! Queries, page by page (iothub.md §6.6).

use reqwest::{Method, header::HeaderName};
use serde_json::{Value, json};

use super::{Hub, HubError, Request, devices::array};

const MOST: HeaderName = HeaderName::from_static("x-ms-max-item-count");
const NEXT: HeaderName = HeaderName::from_static("x-ms-continuation");

/// The largest page that IoT Hub gives.
pub(crate) const PAGE: u16 = 1000;

/// What one request of a query gives.
pub(crate) struct Page {
    /// The rows.
    pub(crate) rows: Vec<Value>,
    /// How to ask for the next page; none after the last one.
    pub(crate) next: Option<String>,
}

impl Hub {
    /// One page of a query, of at most so many rows: the first one, or the one that a former page names.
    pub(crate) async fn query_page(
        &self,
        query: &str,
        most: u16,
        from: Option<&str>,
    ) -> Result<Page, HubError> {
        let tried = "query the hub";
        let request = Request::new(tried, Method::POST, ["devices", "query"]).body(json!({ "query": query }));
        let request = request.header(MOST, most.to_string());
        self.page(
            tried,
            match from {
                Some(from) => request.header(NEXT, from),
                None => request,
            },
        )
        .await
    }

    /// All rows of a query.
    pub(crate) async fn query(&self, query: &str) -> Result<Vec<Value>, HubError> {
        let mut page = self.query_page(query, PAGE, None).await?;
        let mut rows = std::mem::take(&mut page.rows);
        while let Some(next) = page.next {
            page = self.query_page(query, PAGE, Some(&next)).await?;
            rows.append(&mut page.rows);
        }
        Ok(rows)
    }

    pub(super) async fn page(&self, tried: &str, request: Request<'_>) -> Result<Page, HubError> {
        let reply = self.exchange(request).await?;
        let next = reply.header(&NEXT).filter(|next| !next.is_empty());
        Ok(Page { rows: array(tried, reply.body)?, next })
    }

    pub(super) async fn pages(
        &self,
        tried: &str,
        path: &[&str],
        query: &str,
    ) -> Result<Vec<Value>, HubError> {
        let mut rows = Vec::new();
        let mut from: Option<String> = None;
        loop {
            let request = Request::new(tried, Method::GET, path).query(query).header(MOST, PAGE.to_string());
            let request = match &from {
                Some(from) => request.header(NEXT, from.as_str()),
                None => request,
            };
            let mut page = self.page(tried, request).await?;
            rows.append(&mut page.rows);
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(rows),
            }
        }
    }
}
