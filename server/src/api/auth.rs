//! Who may submit updates: whoever shows the registrar's token.

use candor_core::Hash;
use subtle::ConstantTimeEq as _;
use tonic::{Request, Status};

/// The digest of the token that registrars show. The token itself is not kept.
#[derive(Debug)]
pub struct RegistrarToken(Hash);

impl RegistrarToken {
    /// The token that must be shown.
    pub fn new(token: &str) -> Self {
        Self(digest(token))
    }

    /// Checks the `authorization: Bearer …` header of a request.
    pub(super) fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let shown = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(digest);
        match shown {
            // Digests are compared, so neither length nor content of the token shows in time.
            Some(shown) if bool::from(shown.0.ct_eq(&self.0.0)) => Ok(()),
            Some(_) => Err(Status::permission_denied("the registrar's token is wrong")),
            None => Err(Status::unauthenticated(
                "updates need the registrar's token",
            )),
        }
    }
}

fn digest(token: &str) -> Hash {
    candor_core::log::leaf_hash(token.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn only_the_token_opens() {
        let token = RegistrarToken::new("secret");
        let code = |header: Option<&str>| {
            let mut request = Request::new(());
            if let Some(header) = header {
                request
                    .metadata_mut()
                    .insert("authorization", header.parse().unwrap());
            }
            token.check(&request).map_err(|status| status.code())
        };
        assert_eq!(code(None), Err(Code::Unauthenticated));
        assert_eq!(code(Some("secret")), Err(Code::Unauthenticated));
        assert_eq!(code(Some("Bearer ")), Err(Code::PermissionDenied));
        assert_eq!(code(Some("Bearer secrets")), Err(Code::PermissionDenied));
        assert_eq!(code(Some("Bearer secret")), Ok(()));
    }
}
