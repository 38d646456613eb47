//! The digest beside a file: `<url>.sha256`, as `sha256sum` writes it.
//!
//! It vouches for what its server meant to send, against corruption and mix-ups. It proves nothing about who made
//! the image: whoever can change the one can change the other. The policy `firmware.unsigned = "digest"` accepts it.

use hotshoe_core::digest::Digest;
use reqwest::{Response, StatusCode, header::HeaderMap};
use url::Url;

use super::{
    Allow, FetchError, Fetcher,
    answer::{Decision, decide},
    client::{Failed, causes},
    error::shown,
};

/// More than `sha256sum` ever writes for one file.
const LIMIT: usize = 1024;

impl Fetcher {
    /// Fetches the digest beside a file, under the same grant and with the same patience as the file.
    pub(super) async fn sidecar(&self, url: &Url, allow: &Allow) -> Result<Digest, FetchError> {
        let mut beside = url.clone();
        beside.set_path(&format!("{}.sha256", url.path()));
        allow(&beside).map_err(FetchError::Denied)?;
        let mut failures = 0;
        loop {
            let (error, after) = match self.client.ask(&beside, &HeaderMap::new(), allow).await {
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Broken(text)) => (FetchError::Interrupted(text), None),
                Ok((response, from)) => {
                    let status = response.status();
                    match decide(beside.as_str(), 0, None, status, response.headers()) {
                        Decision::Whole(_) => match self.text(response).await {
                            Ok(text) => return digest_beside(&text).ok_or_else(|| unreadable(url)),
                            Err(why) => (FetchError::Interrupted(format!("{}: {why}", shown(&from))), None),
                        },
                        _ if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) => {
                            return Err(missing(url));
                        }
                        decision => {
                            let error = FetchError::Status { url: shown(&from), status: status.as_u16() };
                            match decision {
                                Decision::Refused { retry: true, after } => (error, after),
                                _ => return Err(error),
                            }
                        }
                    }
                }
            };
            if failures >= self.settings.retries {
                return Err(error);
            }
            tokio::time::sleep(self.settings.pause(failures, after)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// The body's beginning; what is longer is cut off and will not parse.
    async fn text(&self, mut response: Response) -> Result<String, String> {
        let mut bytes = Vec::new();
        let receive = async {
            while bytes.len() <= LIMIT {
                match response.chunk().await {
                    Ok(Some(piece)) => bytes.extend(piece.iter().take(LIMIT.saturating_add(1))),
                    Ok(None) => return Ok(()),
                    Err(error) => return Err(causes(&error.without_url())),
                }
            }
            Ok(())
        };
        let deadline = self.settings.stall_timeout;
        tokio::time::timeout(deadline, receive).await.map_err(|_| "the server stalls".to_owned())??;
        Ok(String::from_utf8(bytes).unwrap_or_default())
    }
}

/// 64 hexadecimal digits, then nothing or white space and a name.
/// The digest in a `.sha256` file: its first word, 64 hex digits. `None` for a file of more than 1 KiB or without one.
pub fn digest_beside(text: &str) -> Option<Digest> {
    if text.len() > LIMIT {
        return None;
    }
    let hex = text.split_ascii_whitespace().next()?;
    format!("sha256:{}", hex.to_ascii_lowercase()).parse().ok()
}

fn missing(url: &Url) -> FetchError {
    FetchError::Untrusted(format!(
        "nothing vouches for {0}: the request names no digest and there is no {0}.sha256, and firmware.unsigned is \
         \"digest\" in the device's policy; give a digest or put one beside the image",
        shown(url)
    ))
}

fn unreadable(url: &Url) -> FetchError {
    FetchError::Untrusted(format!("nothing vouches for {0}: {0}.sha256 holds no SHA-256 digest", shown(url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_as_sha256sum_writes_them() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for text in [
            hex.to_owned(),
            format!("{hex}\n"),
            format!("{hex}  a.img\n"),
            format!("{hex} *a.img"),
            hex.to_uppercase(),
        ] {
            assert_eq!(digest_beside(&text).unwrap().to_string(), format!("sha256:{hex}"), "{text:?}");
        }
        for text in
            ["", "\n", "<html>", &hex[1..], &format!("{hex}0"), &format!("{hex}{}", " ".repeat(LIMIT))]
        {
            assert_eq!(digest_beside(text), None, "{text:?}");
        }
    }
}
