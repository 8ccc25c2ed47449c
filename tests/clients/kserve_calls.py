"""What a KServe user does, through the real clients, against `bookloop serve`: REST V1 and V2, and gRPC.

Argument: host and port, which speaks both. The model knows the readers r0 to r29. Prints one line a check; any failure
ends the run.
"""

import asyncio
import sys

import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

address = sys.argv[1]
url, model = f"http://{address}", "recommender"


def check(what, found, expected):
    assert found == expected, f"{what}: expected {expected!r}, found {found!r}"
    print(f"ok {what}")


def asked(binary=None, raw=False):
    """Two readers and one k, as JSON, as typed lists, or as bytes where the client can."""
    readers, k = InferInput("user_id", [2], "BYTES", data=["r1", "r2"]), InferInput("k", [1], "INT32", data=[3])
    if raw:
        readers.set_data_from_numpy(np.array([b"r1", b"r2"], dtype=np.object_), binary_data=True)
        k.set_data_from_numpy(np.array([3], dtype=np.int32), binary_data=True)
    how = None if binary is None else {"binary_data": binary}
    outputs = [RequestedOutput(name, how) for name in ("item_ids", "scores")]
    return InferRequest(model_name=model, request_id="7f3", infer_inputs=[readers, k], request_outputs=outputs)


def told(response):
    """Ids and the bits of scores."""
    ids, scores = response.outputs
    assert (response.model_name, response.id) == (model, "7f3"), response
    text = lambda id: id.decode() if isinstance(id, bytes) else str(id)
    return [text(id) for id in ids.as_numpy().ravel()], np.asarray(scores.as_numpy(), dtype=np.float32).tobytes()


async def main():
    async with InferenceRESTClient(RESTConfig(protocol="v1", retries=0)) as v1:
        check("V1 live", await v1.is_server_live(url), True)
        check("V1 model ready", await v1.is_model_ready(url, model), True)
        instances = {"instances": [{"user_id": "r1", "k": 3}, {"user_id": "r2", "k": 3}]}
        predictions = (await v1.infer(url, instances, model_name=model))["predictions"]
        listed = [book for prediction in predictions for book in prediction["recommendations"]]
        plain = [book["book_id"] for book in listed], np.array([book["score"] for book in listed], np.float32).tobytes()
        try:
            await v1.infer(url, {"instances": "r1"}, model_name=model)
            raise AssertionError("a text was taken for a list")
        except httpx.HTTPStatusError as error:
            assert "to be a list, '400" in str(error), error
            print("ok V1 refusal in words")
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as v2:
        check("V2 live", await v2.is_server_live(url), True)
        check("V2 ready", await v2.is_server_ready(url), True)
        check("V2 model ready", await v2.is_model_ready(url, model), True)
        check("V2 unknown model", await v2.is_model_ready(url, "other"), False)
        check("V2 JSON", told(await v2.infer(url, asked(), model_name=model)), plain)
        check("V2 bytes", told(await v2.infer(url, asked(binary=True, raw=True), model_name=model)), plain)
    async with InferenceGRPCClient(address) as grpc:
        check("gRPC live", await grpc.is_server_live(), True)
        check("gRPC ready", await grpc.is_server_ready(), True)
        check("gRPC model ready", await grpc.is_model_ready(model), True)
        check("gRPC typed", told(await grpc.infer(asked())), plain)
        check("gRPC raw", told(await grpc.infer(asked(raw=True))), plain)


asyncio.run(main())
print("all checks passed")
