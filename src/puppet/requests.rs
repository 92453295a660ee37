//! Which requests to Puppet Server read code, and of which environments.
//!
//! What is not known reads code, of every environment: a request that is held too long is late, one that is not held is torn.

use percent_encoding::percent_decode_str;

use crate::pause::Scope;

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// A catalog: the end of what an agent's run reads in one piece.
    Catalog,
    /// The metadata of all plugins: what an agent's run begins with.
    Plugins,
    /// Metadata of files in modules.
    FileMetadata,
    /// A file of a module.
    FileContent,
    /// Anything else that reads code, or may: node, environment classes, tasks, what this version does not know.
    Code,
    /// A file of a version that never changes.
    StaticFileContent,
    /// An agent's report.
    Report,
    /// Certificates: the CA's routes.
    Certificates,
    /// Status, metrics, administration.
    Service,
}

impl Route {
    /// The route of a request's path, as it stands in the request.
    pub fn of(path: &str) -> Self {
        let Ok(decoded) = percent_decode_str(path).decode_utf8() else { return Route::Code };
        let mut steps = decoded.split('/').skip(1).peekable();
        // A path that a server may read otherwise than we do.
        let odd = |step: &str| matches!(step, "." | "..") || step.contains([';', '\\', '\0']);
        let is_odd = !decoded.starts_with('/') || decoded.contains("//") || decoded.split('/').any(odd);
        if is_odd {
            return Route::Code;
        }
        match (steps.next(), steps.next(), steps.next(), steps.next()) {
            (Some("puppet-ca"), ..) => Route::Certificates,
            (Some("status" | "metrics" | "puppet-admin-api"), ..) => Route::Service,
            (Some("puppet"), Some("v3"), Some("report"), _) => Route::Report,
            (Some("puppet"), Some("v3"), Some("static_file_content"), _) => Route::StaticFileContent,
            (Some("puppet"), Some("v3"), Some("catalog"), _) => Route::Catalog,
            (Some("puppet"), Some("v3"), Some("file_metadatas"), Some("plugins")) => Route::Plugins,
            (Some("puppet"), Some("v3"), Some("file_metadata" | "file_metadatas"), _) => Route::FileMetadata,
            (Some("puppet"), Some("v3"), Some("file_content"), _) => Route::FileContent,
            _ => Route::Code,
        }
    }

    /// Whether it reads code.
    pub fn reads_code(self) -> bool {
        !matches!(self, Route::StaticFileContent | Route::Report | Route::Certificates | Route::Service)
    }

    /// Its name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Route::Catalog => "catalog",
            Route::Plugins => "plugins",
            Route::FileMetadata => "file_metadata",
            Route::FileContent => "file_content",
            Route::Code => "code",
            Route::StaticFileContent => "static_file_content",
            Route::Report => "report",
            Route::Certificates => "certificates",
            Route::Service => "service",
        }
    }
}

/// The environments that a request names: in its query and its form, together. A name twice in one of them, one that cannot be a name, none
/// at all, or a body that is no form: all of them.
pub fn environments(query: Option<&str>, form: Form<'_>) -> Scope {
    let form = match form {
        Form::None => None,
        Form::Fields(bytes) => Some(bytes),
        Form::Opaque => return Scope::Everything,
    };
    let mut names = Vec::new();
    for fields in [query.map(str::as_bytes), form].into_iter().flatten() {
        let mut values = form_urlencoded::parse(fields).filter(|(key, _)| key == "environment");
        match (values.next(), values.next()) {
            (None, _) => {}
            (Some((_, name)), None) if is_name(&name) => names.push(name.into_owned()),
            _ => return Scope::Everything,
        }
    }
    names.sort();
    names.dedup();
    if names.is_empty() { Scope::Everything } else { Scope::Environments(names) }
}

/// What a request's body says, where it was read.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// There is none.
    None,
    /// The fields of a form, URL-encoded.
    Fields(&'a [u8]),
    /// Something else, which may name an environment in a way that is not looked at.
    Opaque,
}

/// Puppet's rule for the name of an environment.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_asks_for_is_known() {
        for (path, route) in [
            ("/puppet/v3/catalog/node1.example.com", Route::Catalog),
            ("/puppet/v3/file_metadatas/plugins", Route::Plugins),
            ("/puppet/v3/file_metadatas/pluginfacts", Route::FileMetadata),
            ("/puppet/v3/file_metadata/modules/ntp/ntp.conf", Route::FileMetadata),
            ("/puppet/v3/file_content/plugins/facter/x.rb", Route::FileContent),
            ("/puppet/v3/node/node1", Route::Code),
            ("/puppet/v3/environment_classes", Route::Code),
            ("/puppet/v4/catalog", Route::Code),
            ("/puppet/v3/report/node1", Route::Report),
            ("/puppet/v3/static_file_content/modules/a/files/b%20c", Route::StaticFileContent),
            ("/puppet-ca/v1/certificate/ca", Route::Certificates),
            ("/status/v1/simple", Route::Service),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn what_hides_its_path_is_held_like_code() {
        for path in [
            "/puppet/v3/report/../catalog/x",
            "/puppet/v3/report/%2e%2e/catalog/x",
            "/puppet/v3/report/..%2fcatalog%2fx",
            "/puppet-ca//v1/../../puppet/v3/catalog/x",
            "//puppet-ca/v1",
            "/status;x/v1",
            "/production/catalog/x",
            "/puppet/v3/report/%ff",
            "*",
            "",
        ] {
            assert!(Route::of(path).reads_code(), "{path}");
        }
        assert_eq!(Route::of("/puppet/v3/%63atalog/x"), Route::Catalog);
    }

    #[test]
    fn environments_are_those_of_the_query_and_the_form_together() {
        let named = |names: &[&str]| Scope::Environments(names.iter().map(ToString::to_string).collect());
        let query = |query| environments(Some(query), Form::None);
        assert_eq!(query("environment=production&x=1"), named(&["production"]));
        assert_eq!(query("%65nvironment=dev%5F1"), named(&["dev_1"]));
        assert_eq!(environments(None, Form::Fields(b"facts=%257B&environment=dev")), named(&["dev"]));
        assert_eq!(environments(Some("environment=b"), Form::Fields(b"environment=a")), named(&["a", "b"]));
        assert_eq!(environments(Some("environment=a"), Form::Fields(b"environment=a")), named(&["a"]));
    }

    #[test]
    fn what_cannot_be_told_is_all_of_them() {
        for query in
            ["", "environment=", "environment=a&environment=b", "environment=a&environment=a", "environment=%ff"]
                .iter()
                .chain(&["environment=%zz", "environment=a%2Fb", "environment=a b", "Environment=a"])
        {
            assert_eq!(environments(Some(query), Form::None), Scope::Everything, "{query}");
        }
        assert_eq!(environments(None, Form::None), Scope::Everything);
        assert_eq!(environments(Some("environment=a"), Form::Opaque), Scope::Everything);
        assert_eq!(
            environments(Some("environment=a"), Form::Fields(b"environment=a&environment=b")),
            Scope::Everything
        );
    }
}
