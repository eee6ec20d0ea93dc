//! Which role may call what: one line for each method of the contract.

use tidegate_proto::escalation::v1::Role;

/// A method and who may call it.
pub(crate) struct Method {
    /// `/package.Service/Method`.
    pub(crate) path: &'static str,
    /// The least of viewer, agent, lead and admin that may call it.
    least: Role,
    /// Whether programs (the role `service`) may call it.
    service: bool,
}

macro_rules! methods {
    ($($service:literal { $($method:literal $least:ident $($program:ident)?,)* })*) => {
        /// Every method of the contract.
        pub(crate) const METHODS: &[Method] = &[$($(Method {
            path: concat!("/tidegate.escalation.v1.", $service, "/", $method),
            least: Role::$least,
            service: methods!(@ $($program)?),
        },)*)*];
    };
    (@ service) => { true };
    (@) => { false };
}

methods! {
    "CaseService" {
        "CreateCase" Agent service,
        "GetCase" Viewer service,
        "ListCases" Viewer service,
        "CountCases" Viewer service,
        "WatchCases" Viewer service,
        "ClaimCase" Agent,
        "HeartbeatCase" Agent,
        "ReleaseCase" Agent,
        "HoldCase" Agent,
        "AssignCase" Lead,
        "AddNote" Agent,
        "ResolveCase" Agent,
        "OpenAppeal" Agent service,
        "DecideAppeal" Lead,
    }
    "QueueService" {
        "GetQueue" Viewer service,
        "ListQueues" Viewer service,
        "UpdateQueue" Lead,
    }
    "AgentService" {
        "GetAgent" Viewer service,
        "ListAgents" Lead,
        "UpdateAgent" Admin,
        "RotateToken" Admin,
    }
    "AuditService" {
        "ListAuditEntries" Lead,
        "ExportAudit" Lead,
        "VerifyAudit" Lead,
    }
    "PrivacyService" {
        "ExportSubject" Admin,
        "EraseSubject" Admin,
    }
    "ScoringService" {
        "Score" Lead service,
    }
}

impl Method {
    /// The method with this path.
    pub(crate) fn find(path: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.path == path)
    }

    /// `Service/Method`, for metrics and logs.
    pub(crate) fn short(&self) -> &'static str {
        self.path.trim_start_matches("/tidegate.escalation.v1.")
    }

    /// Whether `role` may call it.
    pub(crate) fn allows(&self, role: Role) -> bool {
        match role {
            Role::Unspecified => false,
            Role::Service => self.service,
            // In the order of their power.
            Role::Viewer | Role::Agent | Role::Lead | Role::Admin => role >= self.least,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_of_the_contract_has_a_line_and_every_line_a_method() {
        let set = FileDescriptorSet::decode(tidegate_proto::escalation::v1::DESCRIPTORS).unwrap();
        let mut contract = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let (package, service) = (file.package(), service.name());
                    contract.insert(format!("/{package}.{service}/{}", method.name()));
                }
            }
        }
        let table: BTreeSet<_> = METHODS.iter().map(|m| m.path.to_owned()).collect();
        assert_eq!(table, contract);
        assert_eq!(table.len(), METHODS.len(), "a method has two lines");
    }

    #[test]
    fn each_role_may_do_what_the_one_before_it_may() {
        for method in METHODS {
            let may =
                [Role::Viewer, Role::Agent, Role::Lead, Role::Admin].map(|r| method.allows(r));
            assert!(may.is_sorted(), "{}", method.path);
            assert!(may[3], "an admin may not call {}", method.path);
            assert!(!method.allows(Role::Unspecified), "{}", method.path);
        }
    }
}
