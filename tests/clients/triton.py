"""What a Triton user does, through the real clients, against `bookloop serve`: HTTP and gRPC, plain and asyncio.

Argument: host and port, which speaks both. The model knows the readers r0 to r29. Prints one line a check; any failure
ends the run.
"""

import asyncio
import sys

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException

address = sys.argv[1]
model = "recommender"
READERS = np.array([f"r{n}".encode() for n in range(20)], dtype=np.object_)


def check(what, found, expected):
    assert found == expected, f"{what}: expected {expected!r}, found {found!r}"
    print(f"ok {what}")


def inputs(client, **how):
    """Twenty readers and one k for all."""
    user = client.InferInput("user_id", [20], "BYTES")
    user.set_data_from_numpy(READERS, **how)
    k = client.InferInput("k", [1], "INT32")
    k.set_data_from_numpy(np.array([7], dtype=np.int32), **how)
    return [user, k]


def bits(result):
    """Ids and scores, the latter as they lie in memory."""
    scores = result.as_numpy("scores")
    assert scores.dtype == np.float32 and scores.shape == (20, 7), (scores.dtype, scores.shape)
    ids = [id.decode() if isinstance(id, bytes) else id for id in result.as_numpy("item_ids").ravel()]
    return ids, scores.tobytes()


def refused(what, words, call):
    try:
        call()
    except InferenceServerException as error:
        assert words in error.message(), f"{what}: {error.message()}"
        print(f"ok {what}")
        return
    raise AssertionError(f"{what}: was not refused")


def surface(kind, client, index, metadata, statistics):
    """What every client shows of server and model."""
    check(f"{kind} live", client.is_server_live(), True)
    check(f"{kind} ready", client.is_server_ready(), True)
    check(f"{kind} model ready", client.is_model_ready(model), True)
    check(f"{kind} version ready", client.is_model_ready(model, "1"), True)
    check(f"{kind} name", metadata(client.get_server_metadata())["name"], "bookloop")
    told = metadata(client.get_model_metadata(model))
    check(f"{kind} inputs", [tensor["name"] for tensor in told["inputs"]][:2], ["user_id", "book_id"])
    check(f"{kind} index", index(client.get_model_repository_index()), [(model, "1", "READY")])
    count = statistics(client.get_inference_statistics(model))
    assert count > 0, count
    print(f"ok {kind} statistics")
    refused(f"{kind} load", "as its registry decides", lambda: client.load_model(model))
    refused(f"{kind} unload", "as its registry decides", lambda: client.unload_model(model))
    refused(f"{kind} unknown model", "unknown model", lambda: client.get_model_metadata("other"))


outputs = lambda client, **how: [client.InferRequestedOutput(name, **how) for name in ("item_ids", "scores")]
over_http = http.InferenceServerClient(address)
told = bits(over_http.infer(model, inputs(http, binary_data=False), outputs=outputs(http, binary_data=False)))
answer = over_http.infer(model, inputs(http))
check("HTTP bytes by default", bits(answer), told)
check("HTTP version", answer.get_response()["model_version"], "1")
check("HTTP bytes in, JSON out", bits(over_http.infer(model, inputs(http), outputs=outputs(http, binary_data=False))), told)
check("HTTP JSON in, bytes out", bits(over_http.infer(model, inputs(http, binary_data=False), outputs=outputs(http))), told)
check("HTTP pinned", bits(over_http.infer(model, inputs(http), model_version="1", request_id="7f3", timeout=2_000_000)), told)
for coding in ("gzip", "deflate"):
    packed = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
    check(f"HTTP {coding}", bits(over_http.infer(model, inputs(http), **packed)), told)
bad = http.InferInput("user_id", [2], "FP32")
bad.set_data_from_numpy(np.zeros(2, dtype=np.float32))
refused("HTTP datatype", "expected datatype BYTES, found FP32", lambda: over_http.infer(model, [bad]))
surface(
    "HTTP",
    over_http,
    lambda index: [(row["name"], row["version"], row["state"]) for row in index],
    lambda metadata: metadata,
    lambda statistics: statistics["model_stats"][0]["inference_count"],
)

over_grpc = grpc.InferenceServerClient(address)
check("gRPC", bits(over_grpc.infer(model, inputs(grpc))), told)
check("gRPC outputs", bits(over_grpc.infer(model, inputs(grpc), outputs=outputs(grpc), model_version="1")), told)
for coding in ("gzip", "deflate"):
    check(f"gRPC {coding}", bits(over_grpc.infer(model, inputs(grpc), compression_algorithm=coding)), told)
bad = grpc.InferInput("user_id", [2], "FP32")
bad.set_data_from_numpy(np.zeros(2, dtype=np.float32))
refused("gRPC datatype", "expected datatype BYTES, found FP32", lambda: over_grpc.infer(model, [bad]))
refused("gRPC too late", "deadline passed", lambda: over_grpc.infer(model, inputs(grpc), timeout=1))
surface(
    "gRPC",
    over_grpc,
    lambda index: [(row.name, row.version, row.state) for row in index.models],
    lambda metadata: {
        "name": metadata.name,
        "inputs": [{"name": tensor.name} for tensor in getattr(metadata, "inputs", [])],
    },
    lambda statistics: statistics.model_stats[0].inference_count,
)


async def at_once():
    """Eight calls at once on each asyncio client."""
    async with http_aio.InferenceServerClient(address) as client:
        check("asyncio HTTP ready", await client.is_model_ready(model), True)
        calls = [client.infer(model, inputs(http)) for _ in range(8)]
        check("asyncio HTTP", [bits(answer) == told for answer in await asyncio.gather(*calls)], [True] * 8)
        packed = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}
        check("asyncio HTTP gzip", bits(await client.infer(model, inputs(http), **packed)), told)
    async with grpc_aio.InferenceServerClient(address) as client:
        check("asyncio gRPC ready", await client.is_model_ready(model), True)
        calls = [client.infer(model, inputs(grpc)) for _ in range(8)]
        check("asyncio gRPC", [bits(answer) == told for answer in await asyncio.gather(*calls)], [True] * 8)


asyncio.run(at_once())
print("all checks passed")
