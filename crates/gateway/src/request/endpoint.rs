//! Endpoint of a request, by method and path.

use http::Method;
use openai::Endpoint;

use crate::error::Refusal;
use crate::record::MODELS_OPERATION;

const HEALTH_PATH: &str = "/healthz";

/// An endpoint of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GatewayEndpoint {
    /// `GET /healthz`, without a key.
    Health,
    /// An endpoint of OpenAI's API, with a key.
    Api(ApiEndpoint),
}

/// An endpoint of OpenAI's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApiEndpoint {
    /// `GET …/v1/models`
    Models,
    /// A call to a model.
    Inference(Endpoint),
}

impl ApiEndpoint {
    /// Name in records, after OpenTelemetry's `gen_ai.operation.name`.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Models => MODELS_OPERATION,
            Self::Inference(endpoint) => endpoint.operation(),
        }
    }
}

impl GatewayEndpoint {
    /// Parses method and path. Any prefix before `/v1` is accepted, since callers' base URLs vary.
    pub(crate) fn parse(method: &Method, path: &str) -> Result<Self, Refusal> {
        let after_v1 = path.rfind("/v1/").map(|at| &path[at + 3..]);
        let endpoint = match after_v1 {
            Some("/models") => Self::Api(ApiEndpoint::Models),
            Some(rest) => {
                let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == rest);
                Self::Api(ApiEndpoint::Inference(endpoint.ok_or(Refusal::UnknownUrl)?))
            }
            None if path == HEALTH_PATH => Self::Health,
            None => return Err(Refusal::UnknownUrl),
        };
        let allow = match endpoint {
            Self::Api(ApiEndpoint::Inference(_)) => Method::POST,
            Self::Api(ApiEndpoint::Models) | Self::Health => Method::GET,
        };
        // HEAD is allowed wherever GET is (RFC 9110, section 9.3.2).
        if *method == allow || (allow == Method::GET && *method == Method::HEAD) {
            Ok(endpoint)
        } else {
            Err(Refusal::MethodNotAllowed {
                allow: if allow == Method::POST { "POST" } else { "GET, HEAD" },
            })
        }
    }
}

/// Whether a request only asks if the gateway has a configuration.
pub(crate) fn is_health_check<B>(request: &http::Request<B>) -> bool {
    request.uri().path() == HEALTH_PATH
}

#[cfg(test)]
mod tests {
    use http::Method;
    use openai::Endpoint;

    use super::{ApiEndpoint, GatewayEndpoint};
    use crate::error::Refusal;

    #[test]
    fn parse_accepts_known_paths_only() {
        let answer = |endpoint| Some(GatewayEndpoint::Api(ApiEndpoint::Inference(endpoint)));
        let read = |method, path| GatewayEndpoint::parse(&method, path);
        assert_eq!(
            read(Method::POST, "/v1/chat/completions").ok(),
            answer(Endpoint::ChatCompletions)
        );
        assert_eq!(
            read(Method::POST, "/team/a/v1/completions").ok(),
            answer(Endpoint::Completions)
        );
        assert_eq!(read(Method::POST, "/v1/v1/embeddings").ok(), answer(Endpoint::Embeddings));
        assert_eq!(
            read(Method::GET, "/x/v1/models").ok(),
            Some(GatewayEndpoint::Api(ApiEndpoint::Models))
        );
        assert_eq!(read(Method::GET, "/healthz").ok(), Some(GatewayEndpoint::Health));
        assert_eq!(read(Method::HEAD, "/healthz").ok(), Some(GatewayEndpoint::Health));
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v1/chat",
            "/chat/completions",
            "/v1/chat/completions/",
            "/x/healthz",
            "/v12/models",
        ] {
            assert!(matches!(read(Method::POST, path), Err(Refusal::UnknownUrl)), "{path}");
        }
        assert!(matches!(
            read(Method::GET, "/v1/chat/completions"),
            Err(Refusal::MethodNotAllowed { allow: "POST" })
        ));
        assert!(matches!(
            read(Method::POST, "/healthz"),
            Err(Refusal::MethodNotAllowed { allow: "GET, HEAD" })
        ));
    }
}
