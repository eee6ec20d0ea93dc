"""Lists, claims and resolves a case, knowing no more than an address and a token."""

import os
import sys
import uuid

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

PACKAGE = "tidegate.escalation.v1"


def main() -> None:
    channel = grpc.insecure_channel(sys.argv[1])
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    service = pool.FindServiceByName(f"{PACKAGE}.CaseService")

    def call(rpc, /, **fields):
        method = service.FindMethodByName(rpc)
        request = message_factory.GetMessageClass(method.input_type)(**fields)
        answer = message_factory.GetMessageClass(method.output_type)
        stub = channel.unary_unary(
            f"/{PACKAGE}.CaseService/{rpc}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        metadata = [("authorization", f"Bearer {os.environ['TOKEN']}")]
        return stub(request, metadata=metadata, timeout=30)

    listed = call("ListCases", filter="state = OPEN").cases
    assert len(listed) == 1, listed
    claimed = call("ClaimCase", request_id=str(uuid.uuid4())).case
    assert claimed.name == listed[0].name
    outcomes = pool.FindEnumTypeByName(f"{PACKAGE}.Outcome").values_by_name
    resolved = call(
        "ResolveCase",
        name=claimed.name,
        etag=claimed.etag,
        outcome=outcomes["OUTCOME_HIDE"].number,
        comment="insults another customer",
        request_id=str(uuid.uuid4()),
    ).case
    states = pool.FindEnumTypeByName(f"{PACKAGE}.CaseState").values_by_name
    assert resolved.state == states["CASE_STATE_RESOLVED"].number
    print(resolved.name)


if __name__ == "__main__":
    main()
