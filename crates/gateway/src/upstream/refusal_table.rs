//! Table of signatures by which providers name the reason of a refusal. A new provider is a new
//! group of rows; nothing else changes.
//!
//! A signature is a code, type, status, or reason in the body, never a message alone: callers can
//! make a provider repeat their own words. Where one name has several meanings, the beginning of
//! the message decides, which no caller controls. The first matching row counts.
//!
//! Sources, as of November 2026. Rows follow these documents and public threads; no row was tried on the
//! provider itself:
//!
//! | rows | source |
//! | --- | --- |
//! | OpenAI | platform.openai.com/docs/guides/error-codes; help.openai.com/en/articles/6891831 |
//! | Azure | learn.microsoft.com/azure/ai-foundry/openai (`DeploymentNotFound`: MicrosoftDocs/azure-docs#114013) |
//! | Google | cloud.google.com/apis/design/errors, google.api.ErrorReason; ai.google.dev/gemini-api/docs/troubleshooting; continuedev/continue#10748, gemini-api-php/client#32 |
//! | Anthropic | docs.anthropic.com/en/api/errors; anthropics/claude-code#4684 |
//! | DeepSeek | api-docs.deepseek.com/quick_start/error_codes |
//! | DashScope | alibabacloud.com/help/en/model-studio/error-code; help.aliyun.com/zh/dashscope/return-status-code-description |
//! | Moonshot | platform.kimi.ai/docs/api/errors |
//! | Zhipu | docs.z.ai/api-reference/api-code |
//! | MiniMax | platform.minimax.io/docs/api-reference/errorcode; MiniMax-AI/cli, `src/errors/api.ts` |
//! | Doubao | volcengine.com/docs/82379/1299023 |
//! | Hunyuan | cloud.tencent.com/document/product/1729/101843 |
//! | Mistral | docs.mistral.ai/api |
//! | Groq | console.groq.com/docs/errors; songquanpeng/one-api#1764, crewAIInc/crewAI#783 |
//! | OpenRouter | openrouter.ai/docs/api-reference/errors |
//! | xAI | docs.x.ai/docs/key-information/debugging; openai/codex#1352, continuedev/continue#10778 |
//! | Together, Fireworks | docs.together.ai/docs/error-codes; docs.fireworks.ai/guides/inference-error-codes |
//! | vLLM, Ollama | vllm `entrypoints/openai/protocol.py`; ollama `openai/openai.go` |
//! | Cloudflare | developers.cloudflare.com/workers-ai/platform/errors |
//! | GitHub | docs.github.com/rest/models/inference |
//! | gateways | songquanpeng/one-api, QuantumNous/new-api: `relay`, `middleware` |

use super::refusal::Verdict::{
    CallersFault, KeyRefused, Overloaded, QuotaExhausted, RateLimited, Unavailable, UnknownModel,
};
use super::refusal::{Signature, Verdict};

/// Name that means the same at every provider.
const fn is(name: &'static str, verdict: Verdict) -> Signature {
    Signature { kinds: &[], name, message: "", verdict }
}

/// Name whose meaning depends on the beginning of the message.
const fn says(name: &'static str, message: &'static str, verdict: Verdict) -> Signature {
    Signature { kinds: &[], name, message, verdict }
}

/// Name that has this meaning at some kinds of providers alone.
const fn at(
    kinds: &'static [&'static str],
    name: &'static str,
    message: &'static str,
    verdict: Verdict,
) -> Signature {
    Signature { kinds, name, message, verdict }
}

/// The table, in groups.
pub(super) static SIGNATURES: [&[Signature]; 9] =
    [CONTENT, OPENAI, AZURE, GOOGLE, ANTHROPIC, CHINA, ZHIPU, MINIMAX, OTHERS];

/// The request's own content and form. These rows come first: a provider may name them beside a
/// general type.
const CONTENT: &[Signature] = &[
    is("context_length_exceeded", CallersFault),
    is("string_above_max_length", CallersFault),
    is("content_filter", CallersFault),
    is("content_policy_violation", CallersFault),
    is("ResponsibleAIPolicyViolation", CallersFault),
    is("moderation_blocked", CallersFault),
    is("DataInspectionFailed", CallersFault),
    is("data_inspection_failed", CallersFault),
    is("InvalidParameter.DataInspection", CallersFault),
    is("SensitiveContentDetected", CallersFault),
    is("InputTextSensitiveContentDetected", CallersFault),
    is("invalid_prompt", CallersFault),
    is("invalid_image_url", CallersFault),
    is("image_parse_error", CallersFault),
    is("tool_use_failed", CallersFault),
    is("json_validate_failed", CallersFault),
];

const OPENAI: &[Signature] = &[
    is("invalid_api_key", KeyRefused),
    is("expired_api_key", KeyRefused),
    is("account_deactivated", KeyRefused),
    is("access_terminated", KeyRefused),
    is("invalid_organization", KeyRefused),
    is("no_such_organization", KeyRefused),
    is("mismatched_organization", KeyRefused),
    is("invalid_project", KeyRefused),
    is("mismatched_project", KeyRefused),
    is("project_archived", KeyRefused),
    is("ip_not_authorized", KeyRefused),
    is("insufficient_quota", QuotaExhausted),
    is("billing_hard_limit_reached", QuotaExhausted),
    is("billing_not_active", QuotaExhausted),
    is("unsupported_country_region_territory", Unavailable),
    is("unsupported_region", Unavailable),
    says("unsupported_value", "Your organization must be verified", Unavailable),
    is("model_not_found", UnknownModel),
    is("model_not_available", UnknownModel),
    is("model_deprecated", UnknownModel),
    is("unknown_url", Unavailable),
    is("rate_limit_exceeded", RateLimited),
    is("engine_overloaded", Overloaded),
    is("model_overloaded", Overloaded),
    is("server_is_overloaded", Overloaded),
    is("slow_down", Overloaded),
];

const AZURE: &[Signature] = &[
    is("DeploymentNotFound", UnknownModel),
    is("DeploymentNotReady", Overloaded),
    is("OperationNotSupported", UnknownModel),
    is("ModelDeprecated", UnknownModel),
    is("ServiceModelDeprecated", UnknownModel),
    is("ModelNotSupported", UnknownModel),
    is("InsufficientQuota", QuotaExhausted),
    is("SubscriptionNotRegistered", KeyRefused),
    is("SubscriptionDisabled", KeyRefused),
    is("SubscriptionIsDisabled", KeyRefused),
    is("AccountIsDisabled", KeyRefused),
    is("PublicNetworkAccessDisabled", KeyRefused),
    is("UnsupportedApiVersionValue", Unavailable),
    is("RateLimitReached", RateLimited),
    is("NoCapacity", Overloaded),
    // The resource or the API version of the configuration does not exist.
    at(&["azure"], "404", "Resource not found", Unavailable),
    at(&["azure"], "BadRequest", "API version not supported", Unavailable),
];

const GOOGLE: &[Signature] = &[
    is("API_KEY_INVALID", KeyRefused),
    is("API_KEY_EXPIRED", KeyRefused),
    is("API_KEY_NOT_FOUND", KeyRefused),
    is("API_KEY_SERVICE_BLOCKED", KeyRefused),
    is("API_KEY_HTTP_REFERRER_BLOCKED", KeyRefused),
    is("API_KEY_IP_ADDRESS_BLOCKED", KeyRefused),
    is("API_KEY_ANDROID_APP_BLOCKED", KeyRefused),
    is("API_KEY_IOS_APP_BLOCKED", KeyRefused),
    is("SERVICE_DISABLED", KeyRefused),
    is("CONSUMER_INVALID", KeyRefused),
    is("CONSUMER_SUSPENDED", KeyRefused),
    is("USER_PROJECT_DENIED", KeyRefused),
    is("ACCESS_TOKEN_EXPIRED", KeyRefused),
    is("ACCESS_TOKEN_SCOPE_INSUFFICIENT", KeyRefused),
    is("ACCESS_TOKEN_TYPE_UNSUPPORTED", KeyRefused),
    is("CREDENTIALS_MISSING", KeyRefused),
    is("ACCOUNT_STATE_INVALID", KeyRefused),
    is("UNAUTHENTICATED", KeyRefused),
    says("INVALID_ARGUMENT", "API key", KeyRefused),
    says("PERMISSION_DENIED", "Your API key was reported as leaked", KeyRefused),
    is("BILLING_DISABLED", QuotaExhausted),
    is("LOCATION_POLICY_VIOLATED", Unavailable),
    is("LOCATION_ORG_POLICY_VIOLATED", Unavailable),
    // A file that the caller names is not ready.
    says("FAILED_PRECONDITION", "The File", CallersFault),
    // Region or billing of the operator: "User location is not supported", "free tier".
    is("FAILED_PRECONDITION", Unavailable),
    says("INVALID_ARGUMENT", "User location is not supported", Unavailable),
    says("NOT_FOUND", "models/", UnknownModel),
    says("NOT_FOUND", "Publisher Model", UnknownModel),
    says("NOT_FOUND", "Model not found", UnknownModel),
    is("RESOURCE_QUOTA_EXCEEDED", QuotaExhausted),
    is("RESOURCE_EXHAUSTED", RateLimited),
    is("UNAVAILABLE", Overloaded),
];

const ANTHROPIC: &[Signature] = &[
    is("authentication_error", KeyRefused),
    is("billing_error", QuotaExhausted),
    is("rate_limit_error", RateLimited),
    is("overloaded_error", Overloaded),
    is("not_found_error", UnknownModel),
    says("invalid_request_error", "Your credit balance is too low", QuotaExhausted),
    says(
        "invalid_request_error",
        "You have reached your specified API usage limits",
        QuotaExhausted,
    ),
    says("invalid_request_error", "This organization has been disabled", KeyRefused),
];

/// DeepSeek, DashScope (Qwen), Moonshot, Doubao, Hunyuan.
const CHINA: &[Signature] = &[
    at(&["deepseek"], "invalid_request_error", "Insufficient Balance", QuotaExhausted),
    is("InvalidApiKey", KeyRefused),
    is("InvalidAccessKeyId.NotFound", KeyRefused),
    is("Arrearage", QuotaExhausted),
    is("PrepaidBillOverdue", QuotaExhausted),
    is("PostpaidBillOverdue", QuotaExhausted),
    is("CommodityNotPurchased", QuotaExhausted),
    is("AllocationQuota.FreeTierOnly", QuotaExhausted),
    is("Throttling.AllocationQuota", RateLimited),
    is("Throttling.RateQuota", RateLimited),
    is("Throttling.BurstRate", RateLimited),
    is("Throttling", RateLimited),
    is("AccessDenied.Unpurchased", Unavailable),
    is("Model.AccessDenied", Unavailable),
    is("Workspace.AccessDenied", Unavailable),
    is("access_denied.model", Unavailable),
    is("ModelNotFound", UnknownModel),
    is("model_not_supported", UnknownModel),
    is("ModelServingError", Overloaded),
    is("ModelUnavailable", Overloaded),
    is("invalid_authentication_error", KeyRefused),
    is("incorrect_api_key_error", KeyRefused),
    is("exceeded_current_quota_error", QuotaExhausted),
    is("rate_limit_reached_error", RateLimited),
    is("engine_overloaded_error", Overloaded),
    is("resource_not_found_error", UnknownModel),
    is("AuthenticationError", KeyRefused),
    is("AccountOverdueError", QuotaExhausted),
    is("OperationDenied.ServiceOverdue", QuotaExhausted),
    is("SetLimitExceeded", QuotaExhausted),
    is("QuotaExceeded", QuotaExhausted),
    is("OperationDenied.ServiceNotOpen", Unavailable),
    is("ModelNotOpen", Unavailable),
    is("InvalidEndpoint.ClosedEndpoint", Unavailable),
    is("InvalidEndpointOrModel.NotFound", UnknownModel),
    is("InvalidEndpointOrModel.ModelIDAccessDisabled", Unavailable),
    is("AccountRateLimitExceeded", RateLimited),
    is("ModelAccountRpmRateLimitExceeded", RateLimited),
    is("ModelAccountTpmRateLimitExceeded", RateLimited),
    is("ServerOverloaded", Overloaded),
    is("AuthFailure", KeyRefused),
    is("AuthFailure.SecretIdNotFound", KeyRefused),
    is("AuthFailure.SignatureFailure", KeyRefused),
    is("ResourceUnavailable.InArrears", QuotaExhausted),
    is("FailedOperation.ResourcePackExhausted", QuotaExhausted),
    is("FailedOperation.FreeResourcePackExhausted", QuotaExhausted),
    is("FailedOperation.ServiceNotActivated", Unavailable),
    is("FailedOperation.ServiceStop", Unavailable),
    is("FailedOperation.ServiceStopArrears", QuotaExhausted),
    is("FailedOperation.EngineServerLimitExceeded", Overloaded),
    is("invalid_iam_token", KeyRefused),
];

const Z: &[&str] = &["zhipuai"];

const ZHIPU: &[Signature] = &[
    at(Z, "1000", "", KeyRefused),
    at(Z, "1001", "", KeyRefused),
    at(Z, "1002", "", KeyRefused),
    at(Z, "1003", "", KeyRefused),
    at(Z, "1004", "", KeyRefused),
    at(Z, "1110", "", KeyRefused),
    at(Z, "1111", "", KeyRefused),
    at(Z, "1112", "", KeyRefused),
    at(Z, "1121", "", KeyRefused),
    at(Z, "1113", "", QuotaExhausted),
    at(Z, "1304", "", QuotaExhausted),
    at(Z, "1308", "", QuotaExhausted),
    at(Z, "1309", "", QuotaExhausted),
    at(Z, "1310", "", QuotaExhausted),
    at(Z, "1220", "", Unavailable),
    at(Z, "1221", "", Unavailable),
    at(Z, "1222", "", Unavailable),
    at(Z, "1311", "", Unavailable),
    at(Z, "1211", "", UnknownModel),
    at(Z, "1301", "", CallersFault),
    at(Z, "1210", "", CallersFault),
    at(Z, "1213", "", CallersFault),
    at(Z, "1214", "", CallersFault),
    at(Z, "1215", "", CallersFault),
    at(Z, "1261", "", CallersFault),
    at(Z, "1302", "", RateLimited),
    at(Z, "1303", "", RateLimited),
    at(Z, "1305", "", RateLimited),
    at(Z, "1120", "", Overloaded),
    at(Z, "1230", "", Overloaded),
    at(Z, "1234", "", Overloaded),
    at(Z, "1312", "", Overloaded),
];

const MINIMAX: &[Signature] = &[
    is("base_resp.1004", KeyRefused),
    is("base_resp.2049", KeyRefused),
    is("base_resp.1008", QuotaExhausted),
    is("base_resp.1028", QuotaExhausted),
    is("base_resp.1030", QuotaExhausted),
    is("base_resp.2056", QuotaExhausted),
    is("base_resp.2061", Unavailable),
    is("base_resp.1002", RateLimited),
    is("base_resp.1039", RateLimited),
    is("base_resp.1041", RateLimited),
    is("base_resp.2045", RateLimited),
    is("base_resp.1000", Overloaded),
    is("base_resp.1001", Overloaded),
    is("base_resp.1024", Overloaded),
    is("base_resp.1033", Overloaded),
    is("base_resp.1026", CallersFault),
    is("base_resp.1027", CallersFault),
    is("base_resp.1042", CallersFault),
    is("base_resp.2013", CallersFault),
    is("authorized_error", KeyRefused),
    is("insufficient_balance_error", QuotaExhausted),
];

/// Mistral, Groq, OpenRouter, xAI, Together, Fireworks, vLLM, Cloudflare, GitHub, and gateways.
const OTHERS: &[Signature] = &[
    is("invalid_model", UnknownModel),
    is("service_tier_capacity_exceeded", RateLimited),
    is("organization_restricted", KeyRefused),
    is("blocked_api_access", QuotaExhausted),
    is("model_terms_required", Unavailable),
    is("model_permission_blocked_org", Unavailable),
    is("model_permission_blocked_project", Unavailable),
    is("model_decommissioned", UnknownModel),
    is("model_not_active", UnknownModel),
    is("over_capacity", Overloaded),
    at(&["openrouter"], "404", "No endpoints found matching your data policy", Unavailable),
    at(&["openrouter"], "404", "No allowed providers are available", Unavailable),
    at(&["openrouter"], "404", "No endpoints found for", UnknownModel),
    at(&["grok"], "Client specified an invalid argument", "Incorrect API key", KeyRefused),
    at(&["grok"], "Client specified an invalid argument", "Model not found", UnknownModel),
    at(&["grok"], "Some resource has been exhausted", "Your team", QuotaExhausted),
    at(&["grok"], "Some requested entity was not found", "The model", UnknownModel),
    is("credit_limit_exceeded", QuotaExhausted),
    is("PRECONDITION_FAILED", Unavailable),
    says("NotFoundError", "The model", UnknownModel),
    is("errors.9106", KeyRefused),
    is("errors.9109", KeyRefused),
    is("errors.10000", KeyRefused),
    is("errors.10001", KeyRefused),
    is("errors.3023", KeyRefused),
    is("errors.3036", QuotaExhausted),
    is("errors.5016", Unavailable),
    is("errors.5018", Unavailable),
    is("errors.3041", Unavailable),
    is("errors.7000", Unavailable),
    is("errors.7003", Unavailable),
    is("errors.3042", UnknownModel),
    is("errors.5007", UnknownModel),
    is("errors.3006", CallersFault),
    is("errors.3007", Overloaded),
    is("errors.3008", Overloaded),
    is("errors.3040", Overloaded),
    is("unknown_model", UnknownModel),
    is("unavailable_model", UnknownModel),
    is("no_access", Unavailable),
    is("insufficient_user_quota", QuotaExhausted),
    is("insufficient_credits", QuotaExhausted),
    is("insufficient_balance", QuotaExhausted),
    is("pre_consume_token_quota_failed", QuotaExhausted),
    is("quota_exceeded", QuotaExhausted),
    is("get_channel_failed", Overloaded),
];

#[cfg(test)]
mod tests {
    use openai::ErrorReport;

    use super::{SIGNATURES, Signature, Verdict};

    #[track_caller]
    fn assert_verdict(kind: &str, body: &str, expected: Option<Verdict>) {
        let report = ErrorReport::parse(body.as_bytes()).expect("JSON");
        let found = Signature::lookup(kind, &report).map(|row| row.verdict);
        assert_eq!(found, expected, "{kind} {body}");
    }

    #[test]
    fn refusals_of_every_kind_are_recognized() {
        use super::{
            CallersFault, KeyRefused, Overloaded, QuotaExhausted, RateLimited, Unavailable,
            UnknownModel,
        };
        for (kind, body, verdict) in [
            (
                "openai",
                r#"{"error":{"message":"m","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
                QuotaExhausted,
            ),
            (
                "openai",
                r#"{"error":{"message":"m","type":"invalid_request_error","code":"billing_hard_limit_reached"}}"#,
                QuotaExhausted,
            ),
            (
                "openai",
                r#"{"error":{"message":"m","type":"request_forbidden","code":"unsupported_country_region_territory"}}"#,
                Unavailable,
            ),
            (
                "openai",
                r#"{"error":{"message":"m","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
                CallersFault,
            ),
            ("azure", r#"{"error":{"code":"DeploymentNotFound","message":"m"}}"#, UnknownModel),
            ("azure", r#"{"error":{"code":"404","message":"Resource not found"}}"#, Unavailable),
            (
                "azure",
                r#"{"error":{"code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"},"message":"m"}}"#,
                CallersFault,
            ),
            (
                "gemini",
                r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]"#,
                KeyRefused,
            ),
            (
                "gemini",
                r#"{"error":{"code":400,"message":"API key expired. Please renew the API key.","status":"INVALID_ARGUMENT"}}"#,
                KeyRefused,
            ),
            (
                "gemini",
                r#"[{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}]"#,
                Unavailable,
            ),
            (
                "gemini",
                r#"{"error":{"code":400,"message":"The File x is not in an ACTIVE state.","status":"FAILED_PRECONDITION"}}"#,
                CallersFault,
            ),
            (
                "gemini",
                r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
                RateLimited,
            ),
            (
                "openai-compatible",
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#,
                QuotaExhausted,
            ),
            (
                "openai-compatible",
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                Overloaded,
            ),
            (
                "deepseek",
                r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}"#,
                QuotaExhausted,
            ),
            (
                "qwen",
                r#"{"error":{"code":"Arrearage","type":"Arrearage","message":"m"},"request_id":"1"}"#,
                QuotaExhausted,
            ),
            ("qwen", r#"{"code":"DataInspectionFailed","message":"m"}"#, CallersFault),
            (
                "moonshot",
                r#"{"error":{"message":"m","type":"exceeded_current_quota_error"}}"#,
                QuotaExhausted,
            ),
            (
                "moonshot",
                r#"{"error":{"message":"m","type":"engine_overloaded_error"}}"#,
                Overloaded,
            ),
            ("zhipuai", r#"{"error":{"code":"1113","message":"m"}}"#, QuotaExhausted),
            ("zhipuai", r#"{"error":{"code":"1301","message":"m"}}"#, CallersFault),
            (
                "minimax",
                r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#,
                QuotaExhausted,
            ),
            (
                "minimax",
                r#"{"base_resp":{"status_code":1002,"status_msg":"rate limit"}}"#,
                RateLimited,
            ),
            (
                "mistral",
                r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","code":"1500"}"#,
                UnknownModel,
            ),
            (
                "groq",
                r#"{"error":{"message":"m","type":"invalid_request_error","code":"organization_restricted"}}"#,
                KeyRefused,
            ),
            (
                "groq",
                r#"{"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded"}}"#,
                RateLimited,
            ),
            (
                "openrouter",
                r#"{"error":{"code":404,"message":"No endpoints found matching your data policy."}}"#,
                Unavailable,
            ),
            (
                "grok",
                r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: x."}"#,
                KeyRefused,
            ),
            (
                "fireworks",
                r#"{"error":{"object":"error","type":"invalid_request_error","code":"NOT_FOUND","message":"Model not found, inaccessible, and/or not deployed"}}"#,
                UnknownModel,
            ),
            (
                "vllm",
                r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#,
                UnknownModel,
            ),
            (
                "cloudflare",
                r#"{"errors":[{"code":3036,"message":"m"}],"success":false}"#,
                QuotaExhausted,
            ),
            (
                "cloudflare",
                r#"{"errors":[{"code":10000,"message":"Authentication error"}],"success":false}"#,
                KeyRefused,
            ),
        ] {
            assert_verdict(kind, body, Some(verdict));
        }
    }

    #[test]
    fn words_of_a_message_alone_are_no_signature() {
        for body in [
            r#"{"error":{"message":"Invalid value: 'User location is not supported'","type":"invalid_request_error","code":"invalid_value"}}"#,
            r#"{"error":{"message":"insufficient_quota API_KEY_INVALID","type":"invalid_request_error","code":null}}"#,
            r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"Unknown name: 'API key not valid'"}}"#,
            r#"{"code":"Client specified an invalid argument","error":"Unknown field: Incorrect API key"}"#,
            r#"{"error":{"message":"Your credit balance is too low"}}"#,
            r#"{"error":{"code":400,"message":"m"}}"#,
        ] {
            assert_verdict("openai-compatible", body, None);
        }
    }

    #[test]
    fn numbers_mean_nothing_at_other_kinds() {
        for kind in ["openai", "gemini", "vllm", "minimax"] {
            assert_verdict(kind, r#"{"error":{"code":"1113","message":"m"}}"#, None);
        }
        assert_verdict(
            "openai-compatible",
            r#"{"error":{"code":1113}}"#,
            Some(Verdict::QuotaExhausted),
        );
    }

    #[test]
    fn rows_are_distinct_and_reachable() {
        let rows: Vec<&Signature> = SIGNATURES.iter().copied().flatten().collect();
        for (at, row) in rows.iter().enumerate() {
            let hides = |earlier: &&&Signature| {
                earlier.name.eq_ignore_ascii_case(row.name)
                    && row.message.starts_with(earlier.message)
                    && (earlier.kinds.is_empty() || earlier.kinds == row.kinds)
            };
            let hidden = rows[..at].iter().find(hides);
            assert!(hidden.is_none(), "{row:?} is never reached because of {hidden:?}");
        }
    }
}
