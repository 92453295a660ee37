//! Which headers stop here: those that tell who asks, and those that concern one connection only (RFC 9110 §7.6.1).

use http::header::{
    CONNECTION, EXPECT, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};

use crate::puppet::{Identity, is_identity_header};

/// Makes a request's headers those that Puppet Server may believe.
pub(super) fn for_upstream(headers: &mut HeaderMap, identity: Option<&Identity>) {
    remove_hop_by_hop(headers);
    // The gate has read the body, or reads it as it comes: nobody has to be asked.
    headers.remove(EXPECT);
    let told: Vec<HeaderName> = headers.keys().filter(|name| is_identity_header(name)).cloned().collect();
    for name in told {
        headers.remove(name);
    }
    if let Some(identity) = identity {
        headers.extend(identity.headers.clone());
    }
}

/// Removes what concerned the connection that a message came by.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let always = [
        CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    for name in always.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn nobody_outside_says_who_he_is() {
        let mut asked = headers(&[
            ("x-client-verify", "SUCCESS"),
            ("x-client-dn", "CN=admin"),
            ("x-client-dn", "CN=other"),
            ("x_client_cert", "x"),
            ("accept", "*/*"),
        ]);
        for_upstream(&mut asked, None);
        assert_eq!(asked, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn what_concerns_a_connection_stays_on_it() {
        let mut asked = headers(&[
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("content-type", "text/plain"),
        ]);
        for_upstream(&mut asked, None);
        assert_eq!(asked, headers(&[("content-type", "text/plain")]));
    }
}
