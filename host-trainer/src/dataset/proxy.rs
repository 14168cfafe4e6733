//! The proxies that the environment names, as other programs read it.

use ureq::{Proxy, ProxyProtocol};

/// A variable that does not name a proxy. What it holds is not shown: there may be a password in it.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {variable} does not name a proxy such as http://HOST:PORT or socks5://HOST:PORT")]
pub struct ProxyError {
    /// Its name.
    pub variable: &'static str,
}

/// Which proxy is asked for what.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
}

impl Proxies {
    /// What the environment asks for: `HTTPS_PROXY` or `HTTP_PROXY` by the scheme of the address, `ALL_PROXY` for both,
    /// and none for the hosts in `NO_PROXY`. Names in lower case come first, and an empty variable is none.
    ///
    /// # Errors
    /// If a variable does not name a proxy.
    pub fn from_env() -> Result<Self, ProxyError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let get = |names: &[&'static str]| {
            names.iter().find_map(|&name| Some((name, get(name).filter(|value| !value.trim().is_empty())?)))
        };
        let direct = get(&["no_proxy", "NO_PROXY"]).map(|(_, value)| value).unwrap_or_default();
        let proxy = |names: &[&'static str]| {
            let Some((variable, value)) = get(names) else { return Ok(None) };
            Proxy::new(value.trim())
                .and_then(|proxy| except_for(&proxy, &direct))
                .map(Some)
                .map_err(|_| ProxyError { variable })
        };
        Ok(Self {
            https: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            http: proxy(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?,
        })
    }

    /// One proxy for everything.
    #[cfg(test)]
    pub fn everywhere(address: &str) -> Self {
        let proxy = Some(Proxy::new(address).unwrap());
        Self { https: proxy.clone(), http: proxy }
    }

    /// The proxy for addresses of this kind.
    pub fn of(&self, https: bool) -> Option<Proxy> {
        if https { self.https.clone() } else { self.http.clone() }
    }
}

/// The same proxy, but not for the hosts of a list: `*` is every host, and a name stands for itself and what is below it,
/// with a dot before it or without.
fn except_for(proxy: &Proxy, direct: &str) -> Result<Proxy, ureq::Error> {
    let mut builder = Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    if proxy.protocol() == ProxyProtocol::Socks5 {
        // The proxy looks names up, as where there is no other way out.
        builder = builder.resolve_target(false);
    }
    if let Some(name) = proxy.username() {
        builder = builder.username(name);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    for host in direct.split([',', ' ']).map(str::trim).filter(|host| !host.is_empty()) {
        let host = host.strip_prefix('*').filter(|rest| !rest.is_empty()).unwrap_or(host);
        let host = host.trim_start_matches('.');
        builder = builder.no_proxy(host);
        if host != "*" {
            builder = builder.no_proxy(&format!(".{host}"));
        }
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use ureq::http::Uri;

    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        Proxies::from_variables(|name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn address(proxy: Option<Proxy>) -> Option<String> {
        proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
    }

    #[test]
    fn each_scheme_has_its_variable_and_all_proxy_serves_both() {
        let both = proxies(&[("HTTPS_PROXY", "http://s:1"), ("http_proxy", "h:2"), ("ALL_PROXY", "http://a:3")]);
        let both = both.unwrap();
        assert_eq!(address(both.of(true)).as_deref(), Some("s:1"));
        assert_eq!(address(both.of(false)).as_deref(), Some("h:2"));
        let all = proxies(&[("ALL_PROXY", "socks5h://a:3"), ("HTTPS_PROXY", " ")]).unwrap();
        assert_eq!(address(all.of(true)).as_deref(), Some("a:3"));
        assert_eq!(address(all.of(false)).as_deref(), Some("a:3"));
        assert!(proxies(&[("NO_PROXY", "*")]).unwrap().of(true).is_none());
    }

    #[test]
    fn a_name_and_a_password_stay_and_are_not_shown() {
        let proxy = proxies(&[("HTTPS_PROXY", "http://me:s%40cret@proxy:8080")]).unwrap().of(true).unwrap();
        assert_eq!((proxy.username(), proxy.password()), (Some("me"), Some("s@cret")));
        let error = proxies(&[("HTTPS_PROXY", "gopher://me:s3cret@proxy")]).unwrap_err().to_string();
        assert!(error.contains("HTTPS_PROXY") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn hosts_without_proxy_are_named_with_what_is_below_them() {
        let direct = |list: &str, host: &str| {
            let proxy = proxies(&[("HTTPS_PROXY", "proxy:1"), ("NO_PROXY", list)]).unwrap().of(true).unwrap();
            proxy.is_no_proxy(&format!("https://{host}/").parse::<Uri>().unwrap())
        };
        for (list, host) in [
            ("example.org", "example.org"),
            ("example.org", "a.example.org"),
            (".example.org", "example.org"),
            ("*.example.org", "a.b.example.org"),
            ("localhost, 127.0.0.1", "127.0.0.1"),
            ("*", "anything"),
        ] {
            assert!(direct(list, host), "{list}: {host}");
        }
        for (list, host) in [("example.org", "badexample.org"), ("a.example.org", "example.org"), ("", "example.org")] {
            assert!(!direct(list, host), "{list}: {host}");
        }
    }
}
