"""A health watch of gRPC through a drain: serving, not serving, and let go.

Argument: host and port. Says "watching" when the server may be told to leave.
"""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

channel = grpc.insecure_channel(sys.argv[1])
stub = health_pb2_grpc.HealthStub(channel)
serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

for service in ("", "inference.GRPCInferenceService"):
    assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == serving
    print(f"ok serving {service}")
try:
    stub.Check(health_pb2.HealthCheckRequest(service="other"))
    raise AssertionError("an unknown service was known")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
    print("ok unknown")

watch = stub.Watch(health_pb2.HealthCheckRequest(service=""), timeout=60)
assert next(watch).status == serving
print("watching", flush=True)
assert next(watch).status == not_serving
print("ok told of the drain")
assert stub.Check(health_pb2.HealthCheckRequest()).status == not_serving
print("ok still answering")
assert list(watch) == []
print("ok let go")
print("all checks passed")
