//! Who is taken for whom: tokens, JSON Web Tokens, and what ends them.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tidegate_escalation::auth::settings::{AuthSection, JwtSection};
use tidegate_proto::escalation::v1::{
    Agent, GetAgentRequest, ListCasesRequest, Role, RotateTokenRequest, UpdateAgentRequest,
};
use tonic::Code;

use crate::{
    refused,
    support::{Client, Making, World, refusal},
};

async fn list(client: &mut Client) -> Result<(), tonic::Status> {
    client
        .cases
        .list_cases(ListCasesRequest::default())
        .await
        .map(drop)
}

#[tokio::test]
async fn a_call_without_a_credential_or_with_a_forged_one_is_not_taken() {
    let world = World::new().await;
    refused!(
        list(&mut world.nobody().await).await,
        Unauthenticated,
        "CREDENTIAL_MISSING"
    );
    let real = world.token("ana", Role::Agent, &["conduct"]).await;
    let mut forged = real.clone().into_bytes();
    forged[10] = if forged[10] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for token in [
        forged.as_str(),
        "tg_",
        "x",
        &real[3..],
        "eyJhbGciOiJub25lIn0.e30.",
    ] {
        let answer = list(&mut world.with_token(token).await).await;
        refused!(answer, Unauthenticated, "CREDENTIAL_INVALID");
    }
    list(&mut world.with_token(&real).await).await.unwrap();
}

#[tokio::test]
async fn a_new_token_ends_the_earlier_one_at_once() {
    let world = World::new().await;
    let mut before = world.agent("ana", Role::Agent, &["conduct"]).await;
    list(&mut before).await.unwrap();
    let mut admin = world.bootstrap().await;
    let name = "agents/ana".to_owned();
    let rotated = admin
        .agents
        .rotate_token(RotateTokenRequest { name })
        .await
        .unwrap();
    refused!(
        list(&mut before).await,
        Unauthenticated,
        "CREDENTIAL_INVALID"
    );
    let token = rotated.into_inner().token;
    list(&mut world.with_token(&token).await).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_disabled_or_loses_its_role_does_so_at_once() {
    let world = World::new().await;
    let mut ana = world.agent("ana", Role::Lead, &["conduct"]).await;
    list(&mut ana).await.unwrap();
    let mut admin = world.bootstrap().await;
    let mut change = async |agent: Agent, field: &str| {
        let request = UpdateAgentRequest {
            agent: Some(Agent {
                name: "agents/ana".to_owned(),
                ..agent
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec![field.to_owned()],
            }),
            ..UpdateAgentRequest::default()
        };
        admin.agents.update_agent(request).await.unwrap();
    };
    change(
        Agent {
            role: Role::Viewer.into(),
            ..Agent::default()
        },
        "role",
    )
    .await;
    refused!(ana.claim().await, PermissionDenied, "ROLE_MAY_NOT");
    change(
        Agent {
            disabled: true,
            ..Agent::default()
        },
        "disabled",
    )
    .await;
    refused!(list(&mut ana).await, PermissionDenied, "AGENT_DISABLED");
}

#[tokio::test]
async fn only_the_hash_of_a_token_is_in_the_database() {
    let world = World::new().await;
    let token = world.token("ana", Role::Agent, &["conduct"]).await;
    for file in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let found = bytes
            .windows(token.len())
            .any(|part| part == token.as_bytes());
        assert!(!found, "the token is in the database");
    }
}

#[tokio::test]
async fn the_bootstrap_token_acts_as_admin_and_describes_itself() {
    let world = World::new().await;
    let mut admin = world.bootstrap().await;
    let name = "agents/me".to_owned();
    let me = admin
        .agents
        .get_agent(GetAgentRequest { name })
        .await
        .unwrap();
    assert_eq!(me.into_inner().agent.unwrap().role(), Role::Admin);
}

/// An identity provider.
struct Provider {
    key: EcdsaKeyPair,
    id: &'static str,
}

impl Provider {
    fn new(id: &'static str) -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap();
        Self { key, id }
    }

    fn write_keys(&self, file: &Path) {
        let point = self.key.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        let key =
            json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": x, "y": y});
        std::fs::write(file, json!({ "keys": [key] }).to_string()).unwrap();
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        self.token_with(&json!({"alg": "ES256", "kid": self.id}), change)
    }

    fn token_with(&self, header: &Value, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": "https://id.example", "aud": "tidegate", "sub": "ana",
            "nbf": now() - 60, "exp": now() + 600,
        });
        change(&mut claims);
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(&claims));
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

fn jwt(file: &Path) -> AuthSection {
    AuthSection {
        jwt: JwtSection {
            jwks_file: Some(file.to_owned()),
            issuer: "https://id.example".to_owned(),
            audience: "tidegate".to_owned(),
            leeway: Duration::from_secs(5),
            ..JwtSection::default()
        },
        ..AuthSection::default()
    }
}

#[tokio::test]
async fn a_json_web_token_is_taken_only_if_each_of_its_claims_and_its_signature_is_right() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    let (ours, other) = (Provider::new("k1"), Provider::new("k1"));
    ours.write_keys(keys.path());
    let auth = jwt(keys.path());
    let world = World::with(Making {
        auth,
        ..Making::default()
    })
    .await;
    world.token("ana", Role::Agent, &["conduct"]).await;

    let unsigned = {
        let token = ours.token_with(&json!({"alg": "none"}), |_| {});
        token.rsplit_once('.').unwrap().0.to_owned() + "."
    };
    let without = |claim: &'static str| {
        ours.token(move |claims| drop(claims.as_object_mut().unwrap().remove(claim)))
    };
    let invalid = "CREDENTIAL_INVALID";
    for (what, token, reason) in [
        ("another key", other.token(|_| {}), invalid),
        ("no signature", unsigned, invalid),
        (
            "a shared-secret algorithm",
            ours.token_with(&json!({"alg": "HS256"}), |_| {}),
            invalid,
        ),
        (
            "an algorithm that is not pinned",
            ours.token_with(&json!({"alg": "ES384"}), |_| {}),
            invalid,
        ),
        (
            "an unknown key",
            ours.token_with(&json!({"alg": "ES256", "kid": "k2"}), |_| {}),
            invalid,
        ),
        (
            "another issuer",
            ours.token(|c| c["iss"] = json!("https://evil.example")),
            invalid,
        ),
        (
            "another audience",
            ours.token(|c| c["aud"] = json!("billing")),
            invalid,
        ),
        (
            "a time that has not come",
            ours.token(|c| c["nbf"] = json!(now() + 300)),
            invalid,
        ),
        (
            "a time in words",
            ours.token(|c| c["nbf"] = json!("tomorrow")),
            invalid,
        ),
        ("no end", without("exp"), invalid),
        ("no issuer", without("iss"), invalid),
        ("no audience", without("aud"), invalid),
        ("no subject", without("sub"), invalid),
        (
            "an end that has passed",
            ours.token(|c| c["exp"] = json!(now() - 60)),
            "CREDENTIAL_EXPIRED",
        ),
        (
            "an agent that nobody knows",
            ours.token(|c| c["sub"] = json!("eve")),
            "AGENT_UNKNOWN",
        ),
        (
            "an agent with a path",
            ours.token(|c| c["sub"] = json!("../ana")),
            "AGENT_UNKNOWN",
        ),
    ] {
        let answer = list(&mut world.with_token(&token).await).await;
        assert_eq!(
            refusal(answer),
            (Code::Unauthenticated, reason.to_owned()),
            "{what}"
        );
    }
    let token = ours.token(|_| {});
    list(&mut world.with_token(&token).await).await.unwrap();
    // Any of several audiences will do.
    let token = ours.token(|c| c["aud"] = json!(["billing", "tidegate"]));
    list(&mut world.with_token(&token).await).await.unwrap();
}

#[test]
fn keys_are_taken_from_a_changed_file_and_a_broken_file_leaves_the_earlier_ones() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    Provider::new("k1").write_keys(keys.path());
    let section = jwt(keys.path()).jwt;
    let jwt = tidegate_escalation::auth::jwt::Jwt::load(&section)
        .unwrap()
        .unwrap();
    let touch = |ahead: u64| {
        let later = std::time::SystemTime::now() + Duration::from_secs(ahead);
        std::fs::File::options()
            .append(true)
            .open(keys.path())
            .unwrap()
            .set_modified(later)
            .unwrap();
    };
    assert!(!jwt.reload_if_changed().unwrap());
    std::fs::write(keys.path(), "{").unwrap();
    touch(10);
    let error = jwt.reload_if_changed().unwrap_err().to_string();
    assert!(error.contains("line 1"), "{error}");
    std::fs::write(
        keys.path(),
        r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}"#,
    )
    .unwrap();
    touch(20);
    let error = jwt.reload_if_changed().unwrap_err().to_string();
    assert!(error.contains("no public signing key"), "{error}");
    Provider::new("k2").write_keys(keys.path());
    touch(30);
    assert!(jwt.reload_if_changed().unwrap());
}

/// A key of an identity provider that signs with RSA, made for this test and thrown away.
const RSA_MODULUS: &str = "\
    qpAoAwC7O6jXJJUUG-Ne1MbseFrcnJ2PEk_vxeSXN9_2M-Aq3SL553ZI9JMpDC4bwB_6NmwTtWDb6v-Y\
    DEgyjB_Mg-9nPQ4K62FuO-_88pe5Pm308z5qW2z3fe3nBC7T2d2afbOqAeRTlqVT4UBf3JcWWBZn-ycr\
    QqiJfeCgQS-0jJVRMARDzupvXSW3hlvXK0jWP1oEfmoIB2_pqWSp10muG9CjUTe7PcoIs30YJWcx0f9N\
    nznysS9Ymt6ilx6z4MNrhhRQIJcU0OQe80dsw33HxeE35SMrzeFhpdF3QB_VOAnDTnPReN5wjWXihEXP\
    Ww4l38DEg8G2whBKt-C2RQ";
/// What it signed: for `ana`, from 2023 to 2100.
const RSA_TOKEN: &str = "\
    eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQ\
    iOiJ0aWRlZ2F0ZSIsInN1YiI6ImFuYSIsIm5iZiI6MTcwMDAwMDAwMCwiZXhwIjo0MTAyNDQ0ODAwfQ.\
    fRRDMOXHWDXzbeXcwgvOuNM5oWVgjB-BUpvqEKtpJn9WU-ePiqm6h7NwTDYaNMlPZfKasEqYZXhnVMxQ\
    kWerBJGaxylFIWPwsWqbGQuWRZwkNpRddySrDC-VGKdQKOaLCarhdiaffZLOTRscWa7K314PePLUE25G\
    f19KbwncntHjfda-xbMYcykb41g1tKEwyOwE7csIwoZ7D7pi15PHQm1KoVpHE-vfCuYhZR-P_Y0XX08B\
    7TgPvPrDsB3GxIhrVdM3hXAOcMF2KWMeN2HMvdIxMCflwZeIFcV2i5ckSkewZDrj1_Kk2G7USixrrXu6\
    Mxoh5j_ar2YShWQ7g386xQ";

#[tokio::test]
async fn tokens_signed_with_rsa_and_ed25519_are_taken_and_changed_ones_are_not() {
    let random = SystemRandom::new();
    let pair = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
    let point = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let keys = tempfile::NamedTempFile::new().unwrap();
    let set = json!({"keys": [
        {"kty": "RSA", "use": "sig", "kid": "rsa", "n": RSA_MODULUS, "e": "AQAB"},
        {"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "ed", "x": point},
    ]});
    std::fs::write(keys.path(), set.to_string()).unwrap();
    let world = World::with(Making {
        auth: jwt(keys.path()),
        ..Making::default()
    })
    .await;
    world.token("ana", Role::Agent, &["conduct"]).await;

    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": "https://id.example", "aud": "tidegate", "sub": "ana", "exp": now() + 600,
    });
    let header = json!({"alg": "EdDSA", "kid": "ed"});
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()).as_ref());
    let edwards = format!("{signed}.{signature}");
    for token in [RSA_TOKEN, &edwards] {
        list(&mut world.with_token(token).await).await.unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        signature[20] ^= 1;
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        let answer = list(&mut world.with_token(&forged).await).await;
        refused!(answer, Unauthenticated, "CREDENTIAL_INVALID");
    }
    // One key's signature under the other one's name and algorithm.
    let header = json!({"alg": "EdDSA", "kid": "rsa"});
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()).as_ref());
    let answer = list(&mut world.with_token(&format!("{signed}.{signature}")).await).await;
    refused!(answer, Unauthenticated, "CREDENTIAL_INVALID");
}
